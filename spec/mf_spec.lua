--- Matrix factorisation through the parameter server: what it predicts on real ratings, and what it refuses.
local epact = require "epact"
local data = require "epact.data"
local mf = require "epact.model.mf"
local process = require "support.process"

local function read(base)
  local train = data.ratings(base .. ".tr.txt.gz")
  return train, data.ratings(base .. ".te.txt.gz", { users = train.users, items = train.items })
end

local function train(ratings, run, given)
  run.seed = 1
  return epact.run(run, function(w)
    local model = mf.fit(w, ratings, given)
    return { history = model.history, status = model.status, failure = model.failure }
  end)
end

local function last(model) return model.history[#model.history] end

--- Root mean squared error of the training ratings' mean.
local function error_of_mean(ratings, test)
  local sum, squares = 0, 0
  for t = 0, ratings.count - 1 do sum = sum + ratings.value[t] end
  for t = 0, test.count - 1 do squares = squares + (test.value[t] - sum / ratings.count) ^ 2 end
  return math.sqrt(squares / test.count)
end

describe("matrix factorisation over the parameter server", function()
  local senate, senate_test = read "spec/fixtures/mf/senate"
  local votes = { factors = 8, lambda = 0.02, step = 0.03, test = senate_test }
  local function with(more)
    local given = {}
    for key, value in pairs(votes) do given[key] = value end
    for key, value in pairs(more) do given[key] = value end
    return given
  end

  it("knows how senators vote, far better than their biases tell", function()
    local mean = error_of_mean(senate, senate_test)
    local biases = last(train(senate, { workers = 1 }, with { factors = 0 })).test
    local factors = last(train(senate, { workers = 1 }, votes)).test
    assert.is_true(biases < mean - 0.01, ("%g, mean %g"):format(biases, mean))
    assert.is_true(factors < 0.65 * biases, ("%g, biases %g"):format(factors, biases))
  end)

  it("finds the biases of students' ratings, in which factors find nothing more", function()
    local ratings, test = read "examples/data/insteval"
    local given = { epochs = 20, test = test }
    local factors = last(train(ratings, { workers = 2 }, given)).test
    given.factors = 0
    local biases = last(train(ratings, { workers = 2 }, given)).test
    assert.is_true(biases < 1.22 and error_of_mean(ratings, test) > 1.34)
    assert.is_true(factors < biases + 0.002, ("%g, biases %g"):format(factors, biases))
  end)

  for _, run in ipairs { { workers = 2 }, { workers = 2, staleness = 2 }, { workers = 4, staleness = 1 } } do
    it(("is as good with %d workers, staleness %d"):format(run.workers, run.staleness or 0), function()
      local one, more = last(train(senate, { workers = 1 }, votes)), last(train(senate, run, votes))
      assert.near(one.test, more.test, 0.005)
      assert.near(one.train, more.train, 0.005)
    end)
  end

  it("makes the steps of the update equations", function()
    -- One user, one item, one rating, one clock an epoch: four lines of arithmetic.
    local ratings = data.new("ratings", 1, 1, 2)
    ratings.value[0], ratings.value[1] = 1, 3
    local model = epact.run({ workers = 1 }, function(w)
      local m = mf.fit(w, ratings, { factors = 0, epochs = 1, step = 0.25, lambda = 0.5, clocks = 1 })
      return { m.factors.user[0], m.factors.item[0], mf.predict(m, 0, 0), m.history[1].train }
    end)
    local b, errors = 0, 0
    for _, r in ipairs { 1, 3 } do
      local e = r - 2 - 2 * b
      b, errors = b + 0.25 * (e - 0.5 * b), errors + e * e
    end
    assert.near(b, model[1], 1e-6)
    assert.near(b, model[2], 1e-6)
    assert.near(2 + 2 * b, model[3], 1e-6)
    assert.near(math.sqrt(errors / 2), model[4], 1e-6)
  end)

  it("says at which clock it diverged, and can keep the last good model", function()
    assert.error_matches(function() train(senate, { workers = 2 }, with { step = 5 }) end,
      "mf.fit: diverged at clock %d+ %(epoch %d+%): the step 5 is too large, try 1.25 %[E_DIVERGED%]")
    local kept = epact.run({ workers = 2 }, function(w)
      local model = mf.fit(w, senate, with { step = 0.2, decay = 2, on_divergence = "keep" })
      if w.id > 0 then return end
      return { status = model.status, epochs = #model.history, rmse = mf.rmse(model, senate_test:slice(0, 1)),
        history = model.history }
    end)
    assert.equal("DIVERGED", kept.status)
    assert.is_true(kept.epochs >= 1 and kept.epochs < 30)
    assert.is_true(kept.rmse <= 1)
    assert.is_true(kept.history[kept.epochs].train < 5)
  end)

  it("is read back as it was written", function()
    local directory = os.tmpname()
    os.remove(directory)
    process.run("mkdir -p " .. directory)
    local errors = epact.run({ workers = 2, staleness = 1, seed = 3 }, function(w)
      local model = mf.fit(w, senate, votes)
      mf.save(w, model, directory)
      w:barrier()
      return model.history[#model.history].test
    end)
    local model = mf.load(directory)
    assert.near(errors, mf.rmse(model, senate_test), 1e-9)
    assert.equal(mf.predict(model, 5, 100000), mf.predict(model, 5, 200000)) -- unknown items: all alike
    assert.is_true(mf.predict(model, 1e6, 3) >= 0 and mf.predict(model, 1e6, 3) <= 1)
    process.run(("sed -i 5d %s/users.1.tsv"):format(directory))
    assert.error_matches(function() mf.load(directory) end, "100 of 101 users %[E_PARSE%]")
    process.run("rm -r " .. directory)
    assert.error_matches(function() mf.load(directory) end, "%[E_IO%]")
  end)

  -- Trains with snapshots in `folder`; ends in an error at clock `stop`. Users' rows and errors, or nil.
  local function train_with_snapshots(folder, workers, durability, stop)
    local run = { workers = workers, seed = 5, deterministic = workers > 1, resume = "if any",
      snapshot = { every = 4, dir = folder, durability = durability } }
    local ok, result, report = pcall(epact.run, run, function(w)
      local clock, barrier = w.clock, w.barrier
      local function stopping(step)
        return function(self)
          step(self)
          if self:now() == stop then error "stopped" end
        end
      end
      w.clock, w.barrier = stopping(clock), stopping(barrier)
      local model = mf.fit(w, senate, { factors = 3, epochs = 4, clocks = 5, step = 0.03, test = senate_test })
      local bits = { model.factors:state().user }
      for _, now in ipairs(model.history) do bits[#bits + 1] = ("%.17g %.17g"):format(now.train, now.test) end
      return table.concat(bits, " ")
    end)
    if not ok then assert.matches("stopped", result) end
    if not ok then return nil end
    local all = {}
    for i = 0, workers - 1 do all[i] = report.results[i][1] end
    return table.concat(all, " ", 0, workers - 1)
  end

  for workers, durability in pairs { "snapshot", nil, "journal" } do
    it(("stopped and resumed has the bits of an undisturbed run: %d, %s"):format(workers, durability), function()
      local folder = os.tmpname()
      os.remove(folder)
      local calm = train_with_snapshots(folder .. ".calm", workers, durability)
      assert.is_true(#calm > 1000)
      for stop = 2, 28, durability == "journal" and 1 or 6 do
        assert.is_nil(train_with_snapshots(folder, workers, durability, stop))
      end
      assert.is_true(calm == train_with_snapshots(folder, workers, durability))
      os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
    end)
  end

  it("trains with more workers than users", function()
    local ratings = data.new("ratings", 2, 3, 6)
    for t = 0, 5 do ratings.user[t], ratings.item[t], ratings.value[t] = t % 2, t % 3, t end
    local model = train(ratings, { workers = 4 }, { factors = 2, epochs = 3 })
    assert.equal(3, #model.history)
    assert.is_true(last(model).train < 2)
  end)

  it("refuses wrong ratings and options", function()
    local function expect(pattern, ratings, given)
      assert.error_matches(function() train(ratings, { workers = 2 }, given) end, pattern)
    end
    expect("ratings must be ratings, got 5", 5)
    expect("unknown option 'factor' %(did you mean 'factors'%?%)", senate, { factor = 3 })
    expect("option 'step' must be a positive number", senate, { step = 0 })
    expect("option 'test' must be ratings", senate, { test = 3 })
    local ratings = data.new("ratings", 1, 1, 2)
    ratings.value[1] = 0 / 0
    expect("rating 1: the value is not finite", ratings)
    expect("ratings has no ratings", data.new("ratings", 1, 1, 0))
    assert.error_matches(function()
      epact.run({ workers = 2 }, function(w)
        mf.predict(mf.fit(w, senate, { epochs = 1 }), 100 * (1 - w.id), 0)
      end)
    end, "is another worker's, this one has")
  end)

  it("gives the same bits in four threads and in two processes of two", function()
    local command = "luajit examples/mf.lua --deterministic --data spec/fixtures/mf/senate.tr.txt.gz --epochs 5 "
    local base = os.tmpname()
    os.remove(base)
    local _, code = process.run(command .. "--workers 4 --out " .. base .. ".threads")
    assert.equal(0, code)
    local function rank(number)
      return ("EPACT_RANK=%d EPACT_SIZE=2 EPACT_ROOT=ipc://%s %s --workers 2 --out %s.processes"):format(number, base,
        command, base)
    end
    _, code = process.run(rank(1) .. " & " .. rank(0) .. "; wait $!")
    assert.equal(0, code)
    local different, files = process.run(("diff -r %s.threads %s.processes && ls %s.threads | wc -l"):format(base, base,
      base))
    assert.equal(0, files)
    assert.equal("5", different:match "%S+")
    process.run(("rm -rf %s.threads %s.processes"):format(base, base))
  end)
end)
