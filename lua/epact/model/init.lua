--- Models made of latent factors.
-- @module epact.model
return { mf = require "epact.model.mf" }
