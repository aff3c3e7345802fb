--- Markov chain Monte Carlo: models whose workers sample.
-- @module epact.mcmc
return { lda = require "epact.mcmc.lda" }
