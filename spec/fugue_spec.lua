--- Fugue: who is faster works on instead of waiting. A worker that is slow on purpose shows what it is good for.
local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local lda = require "epact.mcmc.lda"
local mf = require "epact.model.mf"
local jobs = require "support.jobs"

local votes = data.ratings "spec/fixtures/mf/senate.tr.txt.gz"
local corpus = data.corpus("examples/data/docword.sotu.txt.gz"):slice(0, 40)

--- This worker needs so long before its clock number `first`, and each `every` clocks later: a pass ends with them.
local function slow_down(w, seconds, first, every)
  local clock, calls = w.clock, 0
  w.clock = function(self)
    calls = calls + 1
    if calls >= first and (calls - first) % every == 0 then
      local finish = core.C.epact_now() + seconds
      while core.C.epact_now() < finish do end
    end
    return clock(self)
  end
end

local function fit_votes(run, given, seconds)
  run.seed, given.order, given.factors, given.lambda, given.step = 1, "rotation", 8, 0.02, 0.03
  return (epact.run(run, function(w)
    if seconds and w.id == 1 then slow_down(w, seconds, 1, 1) end
    return mf.fit(w, votes, given)
  end))
end

local function bits(model)
  local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
  return ("%08x %08x"):format(crc(model.user), crc(model.item))
end

local function fit_topics(run, given, seconds)
  run.seed = 1
  given.order, given.topics, given.sweeps, given.every = "rotation", 20, 6, 6
  return (epact.run(run, function(w)
    if seconds and w.id == 1 then slow_down(w, seconds, 3, 2) end -- after the first topics; the others end rounds
    local model = lda.fit(w, corpus, given)
    model.sampler:check()
    local total = 0
    for topic = 0, 19 do total = total + model.sampler:total(topic) end
    assert(total == tonumber(corpus.tokens))
    return model.history[1]
  end))
end

describe("Fugue", function()
  it("of ratings: the faster worker makes more steps, and the objective falls further in as many epochs", function()
    local waiting = fit_votes({ workers = 2 }, { epochs = 5, blocks = 2 })
    local working = fit_votes({ workers = 2 }, { epochs = 5, blocks = 2, fugue = true }, 0.004)
    for e = 1, 5 do
      assert.is_nil(waiting.history[e].extra)
      assert.is_true(working.history[e].extra > 0.5, tostring(working.history[e].extra))
    end
    assert.is_true(working.objective < waiting.objective, ("%g, %g"):format(working.objective, waiting.objective))
    assert.near(working.history[5].train, working:score(votes), 0.05) -- of first steps alone, and clipped
  end)

  it("of one worker changes nothing", function()
    local run = { workers = 1 }
    assert.equal(bits(fit_votes(run, { epochs = 3, blocks = 4 })), bits(fit_votes(run, { epochs = 3, blocks = 4,
      fugue = true })))
    local one, two = fit_topics({ workers = 1 }, { fugue = false }), fit_topics({ workers = 1 }, { fugue = true })
    assert.equal(one.likelihood, two.likelihood)
    assert.equal(0, two.extra)
  end)

  it("of equal workers is as good", function()
    local waiting = fit_votes({ workers = 2 }, { epochs = 15 })
    local working = fit_votes({ workers = 2 }, { epochs = 15, fugue = true })
    assert.is_true(working.objective < 1.02 * waiting.objective)
  end)

  it("of topics: the faster worker samples its block again, for a higher likelihood in as many sweeps", function()
    local waiting = fit_topics({ workers = 2 }, {})
    local working = fit_topics({ workers = 2 }, { fugue = true }, 0.02)
    assert.is_nil(waiting.extra)
    assert.is_true(working.extra > 0.2, tostring(working.extra))
    assert.is_true(working.likelihood > waiting.likelihood, ("%g, %g"):format(working.likelihood, waiting.likelihood))
  end)

  it("in two processes works with tables, and knows the others' clocks without a wait", function()
    local results = jobs.run([[
      local epact, core = require "epact", require "epact.core"
      local votes = epact.data.ratings "spec/fixtures/mf/senate.tr.txt.gz"
      local model = epact.run({ workers = 1, seed = 1 }, function(w)
        assert(w:slowest() <= w:now())
        if w.id == 1 then
          local clock = w.clock
          w.clock = function(self)
            local finish = core.C.epact_now() + 0.01
            while core.C.epact_now() < finish do end
            return clock(self)
          end
        end
        return require "epact.model.mf".fit(w, votes, { order = "rotation", factors = 8, lambda = 0.02, step = 0.03,
          epochs = 5, fugue = true })
      end)
      local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
      print(("%08x %08x %g %.6f"):format(crc(model.user), crc(model.item), model.history[5].extra, model.objective))]],
      { processes = 2 })
    for rank = 0, 1 do assert.equal("", results[rank].errors) end
    assert.equal(results[0].output, results[1].output)
    assert.is_true(tonumber(results[0].output:match "^%x+ %x+ (%S+)") > 0.2, results[0].output)
    local waiting = fit_votes({ workers = 2 }, { epochs = 5 })
    assert.is_true(tonumber(results[0].output:match "(%S+)\n$") < waiting.objective)
  end)

  it("says at which clock it diverged", function()
    assert.error_matches(function()
      epact.run({ workers = 2 }, function(w)
        mf.fit(w, votes, { order = "rotation", step = 5, fugue = true, factors = 8 })
      end)
    end, "mf.fit: diverged at clock %d+ %(epoch 1%)")
  end)

  it("is refused where results must not depend on the time, and in other orders", function()
    local folder = os.tmpname()
    os.remove(folder)
    local function refused(pattern, run, fit)
      assert.error_matches(function() epact.run(run, fit) end, pattern)
    end
    local function ratings(order) return function(w) mf.fit(w, votes, { order = order, fugue = true }) end end
    local function topics(order) return function(w) lda.fit(w, corpus, { order = order, fugue = true }) end end
    for name, fit in pairs { mf = ratings, lda = topics } do
      local snapshots = { every = 9, dir = folder .. "." .. name }
      refused(name .. ".fit: option 'fugue' .* not in a deterministic job", { workers = 2, deterministic = true },
        fit "rotation")
      refused(name .. ".fit: option 'fugue' .* has no snapshots", { workers = 1, snapshot = snapshots }, fit "rotation")
    end
    refused("mf.fit: option 'fugue' is one of order \"rotation\", not of \"shards\"", { workers = 2 }, ratings "shards")
    refused("lda.fit: option 'fugue' is one of order \"rotation\", not of \"documents\"", { workers = 2 },
      topics "documents")
    os.execute("rm -rf " .. folder .. ".mf " .. folder .. ".lda")
  end)
end)

describe("the slowest worker's clock", function()
  it("is never ahead of anybody, and all have passed a barrier", function()
    local result = epact.run({ workers = 3 }, function(w)
      local ok = w:slowest() <= w:now()
      for _ = 1, 20 do
        w:barrier()
        ok = ok and w:slowest() >= w:now()
      end
      for _ = 1, 20 do
        w:clock()
        ok = ok and w:slowest() <= w:now()
      end
      w:barrier()
      return ok and w:slowest() == w:now()
    end)
    assert.is_true(result)
  end)
end)
