"""Files to arrays and back: pictures, arrays, archives, volumes. Read whole or refused."""
