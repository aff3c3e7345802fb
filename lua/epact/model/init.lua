--- Models: each has `fit(w, data..., options)` and `load(path)`, and what they return `predict`, `score`, `save`.
-- @module epact.model
return {
  graph_cut = require "epact.model.graph_cut", linear = require "epact.model.linear",
  logistic = require "epact.model.logistic", metric = require "epact.model.metric", mf = require "epact.model.mf",
  multinomial = require "epact.model.multinomial", network = require "epact.model.network",
  nmf = require "epact.model.nmf", sparse_coding = require "epact.model.sparse_coding", svm = require "epact.model.svm",
}
