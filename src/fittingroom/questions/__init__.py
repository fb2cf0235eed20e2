"""What a person came to ask: each a function that plans, has runs trained, and gives an answer. It prints and draws nothing.

best        which classifier for these pictures: from a folder to an answer
compare     which is best, by how much, is that real, what does it cost
ablate      what does each part of a recipe do
crossval    the same verdict where pictures are few: each is held out once
transfer    is it worth starting from trained weights
tune/       which values of a recipe's parts are best, and what was luck
replicate   do claims stand, judged from runs, or from packed ones (kept)
claims      how probable is a claimed order, from its figures alone
stress      what do models stand
audit       what is wrong with the data
explain     what does an answer rest on
bench       how near is a training to the machine's limit
train       one run
new         how to begin: a first recipe
report      what did it come to, of a study or of runs that are there

recipes     what a person may say where a recipe is wanted
listing     what there is
"""
