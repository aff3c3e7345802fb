--- What must not be lost or told twice at the edges: tables opened again, workers that have finished, models trained
-- twice, ranks that fail before they begin.
local epact = require "epact"
local lda = require "epact.mcmc.lda"
local jobs = require "support.jobs"

local function failure(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("a table opened again", function()
  it("keeps its staleness, and another one is an error: earlier copies would break the rule", function()
    epact.run({ workers = 1, staleness = 1 }, function(w)
      local first = w:table("t", { rows = 1, cols = 1, staleness = 5 })
      assert(w:table("t", { rows = 1, cols = 1 }).staleness == 5)
      assert(first.staleness == 5)
    end)
    assert.matches("table 't' was opened with another staleness", failure(epact.run, { workers = 1 }, function(w)
      w:table("t", { rows = 1, cols = 1, staleness = 5 })
      w:table("t", { rows = 1, cols = 1, staleness = 0 })
    end))
  end)
end)

describe("a worker that has finished", function()
  local function after_finish(what)
    return failure(epact.run, { workers = 2 }, function(w)
      local dense = w:table("dense", { rows = 2, cols = 2 })
      local sparse = w:table("sparse", { rows = 2, cols = 2, sparse = true, changes = true })
      sparse:inc(0, 0, 1)
      w:clock()
      w:finish()
      local use = { dense = function() dense:inc(0, 0, 1) end, row = function() dense:inc_row(1, { 1, 2 }) end,
        sparse = function() sparse:inc(0, 0, 1) end, changes = function() sparse:changes() end,
        clock = function() w:clock() end }
      use[what]()
    end)
  end

  for _, what in ipairs { "dense", "row", "sparse", "changes", "clock" } do
    it("loses nothing in silence: " .. what, function()
      assert.matches("the worker has finished", after_finish(what))
    end)
  end
end)

describe("a second model in one job", function()
  it("needs another name, for its counts would be added to the first one's", function()
    local corpus = epact.data.corpus("examples/data/docword.sotu.txt.gz", "examples/data/vocab.sotu.txt"):slice(0, 4)
    local given = { topics = 3, sweeps = 2 }
    local first, second = epact.run({ workers = 1, seed = 7 }, function(w)
      local one = lda.fit(w, corpus, given)
      local two = lda.fit(w, corpus, { topics = 3, sweeps = 2, name = "again" })
      return { one.history[1].likelihood, two.history[1].likelihood }
    end)
    assert.is_true(first[1] == first[2], tostring(second))
    assert.matches("this job has trained 'lda' before", failure(epact.run, { workers = 1 }, function(w)
      lda.fit(w, corpus, given)
      lda.fit(w, corpus, given)
    end))
  end)

  it("is refused under the same name by every algorithm", function()
    local svm, mf, lasso = require "epact.model.svm", require "epact.model.mf", require "epact.optim.lasso"
    local X, y = epact.data.libsvm "examples/data/breast-cancer.svm"
    local ratings = epact.data.ratings("examples/data/insteval.te.txt.gz"):slice(0, 500)
    local twice = {
      ["sgd.minimise"] = function(w) svm.fit(w, X, y, { epochs = 1, name = "svm" }) end,
      ["mf.fit"] = function(w) mf.fit(w, ratings, { epochs = 1 }) end,
      ["lasso.fit"] = function(w) lasso.fit(w, X, y, { lambda_ratio = 0.5 }) end,
    }
    for name, train in pairs(twice) do
      assert.matches(name .. ": this job has trained '%a+' before", failure(epact.run, { workers = 1 }, function(w)
        train(w)
        train(w)
      end))
    end
  end)

  it("of a lasso is refused before memory is touched when a column does not exist", function()
    local lasso = require "epact.optim.lasso"
    local X, y = epact.data.new("sparse", 3, 2, 3), epact.data.new("dense", 3, 1)
    for i = 0, 2 do X.start[i + 1], X.index[i], X.value[i], y.value[i] = i + 1, i % 2, 1 + i, i end
    X.index[1] = 4000000000
    assert.matches("lasso.fit: X: entry 1 has column 4000000000 of 2", failure(epact.run, { workers = 1 }, function(w)
      lasso.fit(w, X, y, { lambda_ratio = 0.5 })
    end))
  end)

  it("of ratings ends well where nothing is left to learn, and when the step fades away", function()
    local mf = require "epact.model.mf"
    local ratings = epact.data.new("ratings", 2, 2, 4)
    for k = 0, 3 do ratings.user[k], ratings.item[k], ratings.value[k] = math.floor(k / 2), k % 2, 3 end
    local status = epact.run({ workers = 1 }, function(w)
      local constant = mf.fit(w, ratings, { epochs = 30 })
      local faded = mf.fit(w, ratings, { epochs = 60, decay = 0.1, name = "faded" })
      return { constant.status, faded.status }
    end)
    assert.same({ "MAXITER", "MAXITER" }, status)
  end)

  it("is refused before memory is touched when a word is not in the vocabulary", function()
    local corpus = epact.data.new("corpus", 1, 2, 1)
    corpus.start[1], corpus.word[0], corpus.count[0] = 1, 4000000000, 1
    assert.matches("the corpus has word 4000000000, its vocabulary 2 words", failure(epact.run, { workers = 1 },
      function(w) lda.fit(w, corpus, { topics = 2, sweeps = 1 }) end))
  end)
end)

describe("a rank that fails before it begins", function()
  it("stops the others: half a sum is no result", function()
    local results = jobs.run([[
      local thread = coroutine.create(print)
      local bad = os.getenv "EPACT_RANK" == "1"
      print((require "epact".run({ workers = 1 }, bad and function() return thread end or function(w)
        local t = w:table("t", { rows = 1, cols = 1 })
        t:inc(0, 0, 3)
        w:barrier()
        return t:cell(0, 0)
      end)))]], { processes = 2 })
    for rank = 0, 1 do
      assert.equal(1, results[rank].code)
      assert.matches("upvalue 'thread'", results[rank].errors)
    end
  end)

  it("is told when the ranks do not agree on deterministic", function()
    local results = jobs.run([[
      require "epact".run({ workers = 1, deterministic = os.getenv "EPACT_RANK" == "1" }, function() end)]],
      { processes = 2 })
    for rank = 0, 1 do
      assert.equal(1, results[rank].code)
      assert.matches("rank 0 is not deterministic, rank 1 is", results[rank].errors)
    end
  end)
end)
