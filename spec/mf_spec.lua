--- Matrix factorisation: what it predicts on real ratings, in every order, and what it refuses.
local ffi = require "ffi"
local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.mf"
local mf = require "epact.model.mf"
local rng = require "epact.rng"
local rotation = require "epact.sched.rotation"
local jobs = require "support.jobs"

local function read(base)
  local train = data.ratings(base .. ".tr.txt.gz")
  return train, data.ratings(base .. ".te.txt.gz", { users = train.users, items = train.items })
end

local function train(ratings, run, given)
  run.seed = run.seed or 1
  return (epact.run(run, function(w) return mf.fit(w, ratings, given) end))
end

local function last(model) return model.history[#model.history] end

--- Root mean squared error of the training ratings' mean.
local function error_of_mean(ratings, test)
  local sum, squares = 0, 0
  for t = 0, ratings.count - 1 do sum = sum + ratings.value[t] end
  for t = 0, test.count - 1 do squares = squares + (test.value[t] - sum / ratings.count) ^ 2 end
  return math.sqrt(squares / test.count)
end

--- All numbers of a model.
local function bits(model)
  local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
  return ("%d users %08x %d items %08x"):format(model.user.rows, crc(model.user), model.item.rows, crc(model.item))
end

local function new_folder()
  local folder = os.tmpname()
  os.remove(folder)
  return folder
end

local senate, senate_test = read "spec/fixtures/mf/senate"
local votes = { factors = 8, lambda = 0.02, step = 0.03, test = senate_test }
local function with(more)
  local given = {}
  for key, value in pairs(votes) do given[key] = value end
  for key, value in pairs(more) do given[key] = value end
  return given
end

local orders = { "shards", "rotation", "hogwild" }

describe("matrix factorisation", function()
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

  local serial = last(train(senate, { workers = 1 }, votes))
  for _, order in ipairs(orders) do
    for _, run in ipairs { { workers = 2 }, { workers = 2, staleness = 2 }, { workers = 4, staleness = 1 } } do
      if order == "shards" or not run.staleness or run.workers == 4 then
        it(("is as good with %d workers, staleness %d, in order %s"):format(run.workers, run.staleness or 0, order),
          function()
            local more = last(train(senate, run, with { order = order }))
            assert.near(serial.test, more.test, 0.01 * serial.test) -- Hogwild's too: within 1 %
            assert.near(serial.train, more.train, 0.01 * serial.train)
          end)
      end
    end
  end

  it("reaches the optimum of a full matrix, the soft-thresholded singular value decomposition", function()
    -- R = 8 u1 v1' + 4 u2 v2' + u3 v3' with orthonormal columns of a Hadamard matrix, n = 8 users and items. With the
    -- penalty n lambda (||P||^2 + ||Q||^2) the best P Q' has the singular values max(s - n lambda, 0).
    local function sign(bit_mask, i) return bit.band(bit_mask, i) == 0 and 1 or -1 end
    local ratings, at = data.new("ratings", 8, 8, 64), 0
    local function entry(u, i, singular)
      local sum = 0
      for f, s in ipairs(singular) do sum = sum + s / 8 * sign(2 ^ (f - 1), u) * sign(2 ^ (f - 1), i) end
      return sum
    end
    for u = 0, 7 do
      for i = 0, 7 do
        ratings.user[at], ratings.item[at], ratings.value[at], at = u, i, entry(u, i, { 8, 4, 1 }), at + 1
      end
    end
    for _, order in ipairs(orders) do
      -- Where all ratings share rows, the steps of two threads without a lock overwrite each other's.
      local workers = order == "hogwild" and 1 or 2
      local model = train(ratings, { workers = workers }, { order = order, factors = 4, lambda = 0.25,
        bias_step = 1e-30, step = 0.1, decay = 0.99, epochs = 500, clocks = 2,
        blocks = order == "rotation" and 4 or nil })
      local best = entry(0, 0, { 6, 2, 0 })
      assert.near(1, best, 1e-12)
      for u = 0, 7 do
        for i = 0, 7 do assert.near(entry(u, i, { 6, 2, 0 }), model:predict(u, i), 0.003) end
      end
      assert.near((4 + 2 * 2 * 6) + (4 + 2 * 2 * 2) + 1, model.objective, 0.1) -- ||R - Z||^2 + 2 n lambda ||Z||_*
    end
  end)

  it("makes the steps of the update equations, biases with steps of their own", function()
    -- One user, one item, two ratings, one clock an epoch: four lines of arithmetic.
    local ratings = data.new("ratings", 1, 1, 2)
    ratings.value[0], ratings.value[1] = 1, 3
    for _, order in ipairs { "shards", "rotation" } do
      local model = train(ratings, { workers = 1 }, { factors = 1, epochs = 1, step = 0.25, lambda = 0.5,
        bias_step = 0.125, bias_lambda = 0.25, clocks = 1, order = order, seed = 7, deviation = 1 })
      local function draw(side)
        local row = ffi.new "float[2]"
        core.check(core.C.epact_mf_init(row, 0, 1, 2, 1, side, 1, 7))
        return row[0]
      end
      local p, q, b, errors = draw(0), draw(1), 0, 0
      for _, r in ipairs { 1, 3 } do
        local e = r - 2 - 2 * b - p * q
        b, errors = b + 0.125 * (e - 0.25 * b), errors + e * e
        p, q = p + 0.25 * (e * q - 0.5 * p), q + 0.25 * (e * p - 0.5 * q)
      end
      assert.near(p, model.user.value[0], 1e-6)
      assert.near(q, model.item.value[0], 1e-6)
      assert.near(b, model.user.value[1], 1e-6)
      assert.near(b, model.item.value[1], 1e-6)
      assert.near(math.max(1, math.min(3, 2 + 2 * b + p * q)), model:predict(0, 0), 1e-6)
      assert.near(math.sqrt(errors / 2), model.history[1].train, 1e-6)
      assert.near(errors + 2 * 0.5 * (p * p + q * q) + 2 * 0.25 * 2 * b * b, model.objective, 1e-5)
    end
  end)

  it("says at which clock it diverged, and can keep the last good model", function()
    for _, order in ipairs(orders) do
      assert.error_matches(function() train(senate, { workers = 2 }, with { step = 5, order = order }) end,
        "mf.fit: diverged at clock %d+ %(epoch %d+%): the step 5 is too large, try 1.25 %[E_DIVERGED%]")
      local none = train(senate, { workers = 2 }, with { step = 50, order = order, on_divergence = "keep" })
      assert.same({ "DIVERGED", 0 }, { none.status, #none.history }) -- the start is what there is
      assert.near(none.mean, none:predict(3, 4), 0.2)
      assert.matches("0 epochs, DIVERGED>$", tostring(none))
      local given = with { step = 0.2, decay = 1.3, order = order, on_divergence = "keep" }
      local kept = train(senate, { workers = 2 }, given)
      assert.equal("DIVERGED", kept.status)
      assert.matches("diverged at clock", kept.failure)
      assert.is_true(#kept.history >= 1 and #kept.history < 30)
      assert.is_true(last(kept).train < 5)
      assert.near(last(kept).test, kept:score(senate_test), 1e-9) -- the model of that epoch, of all workers
    end
  end)

  it("stops when the error stands still", function()
    local model = train(senate, { workers = 2 }, with { tolerance = 1e-3, epochs = 200, order = "rotation" })
    assert.equal("CONVERGED", model.status)
    local n, moved = #model.history, {}
    assert.is_true(n > 4 and n < 200)
    for e = 2, n do moved[e] = math.abs(model.history[e].test - model.history[e - 1].test) > 1e-3 end
    assert.same({ false, false, false }, { moved[n], moved[n - 1], moved[n - 2] })
    assert.is_true(moved[n - 3])
  end)

  it("comes out of the job with its methods, and back from a file", function()
    local path = os.tmpname()
    for _, order in ipairs(orders) do
      local model = train(senate, { workers = 2, staleness = order == "shards" and 1 or 0 }, with { order = order })
      assert.near(last(model).test, model:score(senate_test), 1e-9)
      local all = model:predict(senate_test)
      assert.same({ senate_test.count, 1 }, { all.rows, all.cols })
      for t = 0, 20 do
        assert.equal(all.value[t], model:predict(senate_test.user[t], senate_test.item[t]))
      end
      assert.equal(model:predict(5, 100000), model:predict(5, 200000)) -- unknown items: all alike
      assert.equal(math.max(0, math.min(1, model.mean)), model:predict(1e6, 1e6))
      model:save(path)
      local back = mf.load(path)
      assert.equal(bits(model), bits(back))
      assert.equal(tostring(model), tostring(back))
      assert.matches("^epact.mf model <101 users x %d+ items.*, 8 factors; 30 epochs, training RMSE 0%.%d+, MAXITER>$",
        tostring(back))
      assert.equal(model:score(senate_test), back:score(senate_test))
    end
    os.remove(path)
    assert.error_matches(function() mf.load(path) end, "%[E_IO%]")
  end)
end)

describe("a rotation's factors", function()
  local given = { order = "rotation", factors = 8, step = 0.03, lambda = 0.02, epochs = 3, blocks = 4 }

  --- The same cells one after another, by one thread, without a worker.
  local function serial(ratings, seed)
    local summary, blocks = kernel.check(ratings, "spec"), given.blocks
    local users = kernel.deal(summary.user_count, ratings.users, blocks, rng(seed, 0, 1))
    local items = kernel.deal(summary.item_count, ratings.items, blocks, rng(seed, 0, 2))
    local grid = kernel.grid(ratings, users, items, 0, blocks)
    local factors = kernel.new { users = ratings.users, items = ratings.items, factors = 8, mean = summary.mean }
    factors:draw(seed, 0.1, { base = 0, users = users, first = 0, last = ratings.users, items = items }, true)
    local order = rotation { blocks = blocks, seed = seed, stream = 3 }
    for epoch = 0, given.epochs - 1 do
      factors:set_rates(0.03 * 0.95 ^ epoch, 0.02, 0.03 * 0.95 ^ epoch, 0.02)
      for _ = 1, blocks do
        order:next()
        for part = blocks - 1, 0, -1 do -- in a stratum any order will do
          local cell = part * blocks + order:block(part)
          factors:steps(grid.view, grid.start[cell], grid.start[cell + 1])
        end
      end
    end
    local stride = factors.stride
    local user, item = data.new("dense", ratings.users, stride), data.new("dense", ratings.items, stride)
    kernel.copy_rows(user, factors.user, stride, users, 0, 0, ratings.users)
    kernel.copy_rows(item, factors.item, stride, items, 0, 0, ratings.items)
    return bits { user = user, item = item }
  end

  local expected = serial(senate, 6)

  for _, workers in ipairs { 1, 2, 3, 4 } do
    it(("are those of a serial run, bit for bit: %d workers"):format(workers), function()
      assert.equal(expected, bits(train(senate, { workers = workers, seed = 6 }, given)))
    end)
  end

  it("are those of a serial run when the items travel through a table", function()
    local folder = new_folder()
    local run = { workers = 2, seed = 6, snapshot = { every = 1000, dir = folder } }
    assert.equal(expected, bits(train(senate, run, given)))
    os.execute("rm -rf " .. folder)
  end)

  for _, workers in ipairs { 1, 2 } do
    it(("are those of a serial run in two processes of %d"):format(workers), function()
      local results = jobs.run(([[
        local epact, core = require "epact", require "epact.core"
        local senate = epact.data.ratings "spec/fixtures/mf/senate.tr.txt.gz"
        local _, report = epact.run({ workers = %d, seed = 6 }, function(w)
          local m = require "epact.model.mf".fit(w, senate, { order = "rotation", factors = 8, step = 0.03,
            lambda = 0.02, epochs = 3, blocks = 4 })
          local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
          return ("%%d users %%08x %%d items %%08x"):format(m.user.rows, crc(m.user), m.item.rows, crc(m.item))
        end)
        for i = 0, %d do print(report.results[i][1]) end]]):format(workers, workers - 1), { processes = 2 })
      for rank = 0, 1 do
        assert.equal("", results[rank].errors)
        assert.equal((expected .. "\n"):rep(workers), results[rank].output)
      end
    end)
  end

  it("come from blocks of about as many ratings", function()
    local summary = kernel.check(senate, "spec")
    local users = kernel.deal(summary.user_count, senate.users, 4, rng(6, 0, 1))
    local items = kernel.deal(summary.item_count, senate.items, 4, rng(6, 0, 2))
    local start = kernel.grid(senate, users, items, 0, 4).start
    for cell = 0, 15 do
      local count = tonumber(start[cell + 1] - start[cell])
      assert.is_true(math.abs(count / (senate.count / 16) - 1) < 0.1)
    end
  end)
end)

describe("matrix factorisation with snapshots", function()
  -- Trains with snapshots in `folder`; ends in an error at clock `stop`. The model and its errors as text, or nil.
  local function train_with_snapshots(folder, workers, durability, order, stop)
    local run = { workers = workers, seed = 5, deterministic = workers > 1, resume = "if any",
      snapshot = { every = 4, dir = folder, durability = durability } }
    local ok, model = pcall(epact.run, run, function(w)
      local clock, barrier = w.clock, w.barrier
      local function stopping(step)
        return function(self)
          step(self)
          if self:now() == stop then error "stopped" end
        end
      end
      w.clock, w.barrier = stopping(clock), stopping(barrier)
      return mf.fit(w, senate, { factors = 3, epochs = 4, clocks = 5, step = 0.03, test = senate_test, order = order,
        on_divergence = "keep" })
    end)
    if not ok then assert.matches("stopped", model) end
    if not ok then return nil end
    local all = { ffi.string(model.user.value, model.user.rows * 4 * 8), bits(model) }
    for _, now in ipairs(model.history) do all[#all + 1] = ("%.17g %.17g"):format(now.train, now.test) end
    return table.concat(all, " ")
  end

  for _, case in ipairs { { 1, "snapshot", "shards", 29 }, { 3, "journal", "shards", 29 },
    { 3, "snapshot", "rotation", 18 }, { 2, "journal", "rotation", 14 } } do
    local workers, durability, order, clocks = unpack(case)
    it(("stopped and resumed has the bits of an undisturbed run: %d, %s, %s"):format(workers, durability, order),
      function()
        local folder = new_folder()
        local calm = train_with_snapshots(folder .. ".calm", workers, durability, order)
        assert.is_true(#calm > 1000)
        for stop = 2, clocks, durability == "journal" and 1 or 6 do
          assert.is_nil(train_with_snapshots(folder, workers, durability, order, stop))
        end
        assert.is_true(calm == train_with_snapshots(folder, workers, durability, order))
        os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
      end)
  end
end)

describe("matrix factorisation of unusual ratings", function()
  local function of(users, items, list)
    local ratings = data.new("ratings", users, items, #list)
    for t, rating in ipairs(list) do
      ratings.user[t - 1], ratings.item[t - 1], ratings.value[t - 1] = unpack(rating)
    end
    return ratings
  end

  for _, order in ipairs(orders) do
    it("works with more workers than users, and more factors than rows: " .. order, function()
      local list = {}
      for t = 0, 5 do list[t + 1] = { t % 2, t % 3, t } end
      local model = train(of(2, 3, list), { workers = 4 }, { factors = 20, epochs = 300, step = 0.05, decay = 1,
        lambda = 0, order = order })
      assert.equal(300, #model.history)
      assert.is_true(last(model).train < 0.01) -- six ratings, and rows enough to fit them
      assert.equal(21, model.user.cols)
    end)

    it("knows one user and one item: " .. order, function()
      local model = train(of(1, 1, { { 0, 0, 3 } }), { workers = 2 }, { order = order, epochs = 5 })
      assert.near(3, model:predict(0, 0), 1e-6)
      assert.equal("MAXITER", model.status)
      assert.same({ 1, 1, 0, 0 }, { model.users, model.items, model.cold_users, model.cold_items })
    end)

    it("finds nothing in constant ratings but the constant: " .. order, function()
      local list = {}
      for t = 0, 11 do list[t + 1] = { t % 4, math.floor(t / 4), 2.5 } end
      local model = train(of(4, 3, list), { workers = 2 }, { order = order, epochs = 50, step = 0.05 })
      for u = 0, 3 do
        for i = 0, 2 do assert.near(2.5, model:predict(u, i), 1e-6) end
      end
      assert.equal(2.5, model.mean)
      assert.is_true(last(model).train < 0.05)
    end)

    it("counts users and items without ratings, and predicts them as average ones: " .. order, function()
      local list = {}
      for t = 0, 11 do list[t + 1] = { 2 * (t % 4), 1 + math.floor(t / 4), t % 5 } end
      local model = train(of(8, 5, list), { workers = 2 }, { order = order, epochs = 20, step = 0.05 })
      assert.same({ 4, 2 }, { model.cold_users, model.cold_items })
      assert.matches("4 users and 2 items without ratings", tostring(model))
      local k = model.factors
      assert.near(model.mean + model.item.value[k + 1 + k], model:predict(3, 1), 1e-12) -- mu + c_1
      assert.near(model.mean + model.user.value[k], model:predict(0, 4), 1e-12) -- mu + b_0
      assert.equal(model.mean, model:predict(1, 0))
    end)
  end

  it("measures test ratings of users and items it does not know", function()
    local ratings = of(2, 2, { { 0, 0, 1 }, { 1, 1, 3 }, { 0, 1, 2 }, { 1, 0, 2 } })
    local test = of(9, 9, { { 8, 0, 1 }, { 0, 8, 3 }, { 7, 7, 2 }, { 0, 0, 1 } })
    for _, order in ipairs(orders) do
      local model = train(ratings, { workers = 2 }, { order = order, test = test, epochs = 3 })
      assert.near(model:score(test), last(model).test, 1e-9)
    end
  end)

  it("refuses wrong ratings and options", function()
    local function expect(pattern, ratings, given, run)
      assert.error_matches(function() train(ratings, run or { workers = 2 }, given) end, pattern)
    end
    expect("ratings must be ratings, got 5", 5)
    expect("unknown option 'factor' %(did you mean 'factors'%?%)", senate, { factor = 3 })
    expect("option 'step' must be a positive number", senate, { step = 0 })
    expect("option 'bias_step' must be a positive number", senate, { bias_step = 0 })
    expect("option 'test' must be ratings", senate, { test = 3 })
    expect("option 'order' must be one of shards, rotation, hogwild, ccd", senate, { order = "random" })
    expect("option 'blocks' is one of order \"rotation\", not of \"shards\"", senate, { blocks = 3 })
    expect("option 'filter' is one of order \"shards\", not of \"hogwild\"", senate, { order = "hogwild", filter = {} })
    expect("option 'blocks' must be in 2 %(the workers%) .. 1024, got 1", senate, { order = "rotation", blocks = 1 })
    local bad = of(1, 1, { { 0, 0, 1 }, { 0, 0, 0 / 0 } })
    expect("mf.fit: rating 1: the value is not finite", bad)
    expect("mf.fit: option 'test': rating 1: the value is not finite", senate, { test = bad })
    expect("mf.fit: rating 0: user 1 is not below 1", of(1, 1, { { 1, 0, 1 } }))
    expect("ratings has no ratings", data.new("ratings", 1, 1, 0))
    expect("order \"hogwild\" with 2 workers is not deterministic", senate, { order = "hogwild" },
      { workers = 2, deterministic = true })
    local folder = new_folder()
    expect("order \"hogwild\" has no snapshots: take", senate, { order = "hogwild" },
      { workers = 1, snapshot = { every = 10, dir = folder } })
    os.execute("rm -rf " .. folder)
    local model = train(senate, { workers = 1 }, { epochs = 1 })
    assert.error_matches(function() model:predict(-1, 0) end, "mf:predict: user must be an integer >= 0, got %-1")
    assert.error_matches(function() model:predict(0) end, "mf:predict: item must be an integer >= 0, got nil")
    assert.error_matches(function() model:score(3) end, "mf:score: ratings must be ratings, got 3")
    assert.error_matches(function() model:score(data.new("ratings", 1, 1, 0)) end, "there are no ratings")
  end)

  it("refuses Hogwild in two processes", function()
    local results = jobs.run([[
      local epact = require "epact"
      local senate = epact.data.ratings "spec/fixtures/mf/senate.tr.txt.gz"
      epact.run({ workers = 1 }, function(w) require "epact.model.mf".fit(w, senate, { order = "hogwild" }) end)]],
      { processes = 2 })
    for rank = 0, 1 do
      assert.equal(1, results[rank].code)
      assert.matches("order \"hogwild\" shares the memory of one process, this job has 2", results[rank].errors)
    end
  end)

  it("gives the same bits in four threads and in two processes of two", function()
    local script = [[
      local epact, core = require "epact", require "epact.core"
      local senate = epact.data.ratings "spec/fixtures/mf/senate.tr.txt.gz"
      print((epact.run({ workers = %d, seed = 2, deterministic = true }, function(w)
        local m = require "epact.model.mf".fit(w, senate, { epochs = 5, test = senate })
        local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
        return ("%%08x %%08x %%.17g %%.17g"):format(crc(m.user), crc(m.item), m.objective, m.history[5].test)
      end)))]]
    local one, two = jobs.run(script:format(4)), jobs.run(script:format(2), { processes = 2 })
    assert.equal(0, one[0].code, one[0].errors)
    assert.equal(one[0].output, two[0].output)
    assert.equal(one[0].output, two[1].output)
  end)
end)
