"""Does the diffusion part matter? The same cases by the model, by fewer and more calls, by its twin, and misled.

states    replace the noisy state that the network is shown
arms      the ways of segmenting that are compared, with what each costs
measure   all arms on the same cases: a row of numbers for each
reading   from the numbers to differences with intervals, and to sentences
"""
