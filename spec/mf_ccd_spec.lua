--- Matrix factorisation by CCD++: each number is the best there is, on any number of workers.
local ffi = require "ffi"
local epact = require "epact"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.mf"
local mf = require "epact.model.mf"
local new_side = require "epact.kernel.mf_ccd"
local rng = require "epact.rng"
local jobs = require "support.jobs"

local function read(base)
  local train = data.ratings(base .. ".tr.txt.gz")
  return train, data.ratings(base .. ".te.txt.gz", { users = train.users, items = train.items })
end

local function of(users, items, list)
  local ratings = data.new("ratings", users, items, #list)
  for t, rating in ipairs(list) do
    ratings.user[t - 1], ratings.item[t - 1], ratings.value[t - 1] = unpack(rating)
  end
  return ratings
end

--- Every user rates up to `most` items; user 0 all, user 1 none.
local function random_ratings(users, items, most, seed)
  local stream, list = rng(seed), {}
  for u = 0, users - 1 do
    local count = u == 0 and items or u == 1 and 0 or 1 + stream:below(most)
    for i = 1, count do list[#list + 1] = { u, u == 0 and i - 1 or stream:below(items), 3 + stream:normal() } end
  end
  return of(users, items, list)
end

local function train(ratings, run, given)
  run.seed, given.order = run.seed or 1, "ccd"
  return (epact.run(run, function(w) return mf.fit(w, ratings, given) end))
end

local function last(model) return model.history[#model.history] end

local function bits(model)
  local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
  return ("%d users %08x %d items %08x"):format(model.user.rows, crc(model.user), model.item.rows, crc(model.item))
end

local function floats(n, draw)
  local array = ffi.new("float[?]", n)
  for i = 0, n - 1 do array[i] = draw(i) end
  return array
end

describe("a side of CCD++", function()
  local users, items, mean = 40, 30, 3
  local ratings = random_ratings(users, items, 25, 5)
  local summary = kernel.check(ratings, "spec")

  local function side_of(number, first, to)
    return new_side { ratings = ratings, number = number, first = first, last = to, mean = mean,
      count = number == 0 and summary.user_count or summary.item_count }
  end

  it("has the ratings of its rows in the given order", function()
    for number = 0, 1 do
      local own, other = number == 0 and ratings.user or ratings.item, number == 0 and ratings.item or ratings.user
      local first, to = 3, number == 0 and users or 17
      local side, seen = side_of(number, first, to), 0
      for row = first, to - 1 do
        local at = tonumber(side.start[row - first])
        for t = 0, ratings.count - 1 do
          if own[t] == row then
            assert.equal(other[t], side.id[at])
            assert.near(ratings.value[t] - mean, side.residual[at], 1e-6)
            at, seen = at + 1, seen + 1
          end
        end
        assert.equal(at, tonumber(side.start[row - first + 1]))
      end
      assert.equal(seen, tonumber(side.start[to - first]))
    end
  end)

  -- What the penalised squares of row r would be with the number u, in double, from residuals `e` by place.
  local function objective(side, e, r, u, v, lambda)
    local sum = 0
    for j = tonumber(side.start[r]), tonumber(side.start[r + 1]) - 1 do
      sum = sum + (e[j] - u * v[side.id[j]]) ^ 2 + lambda * u * u
    end
    return sum
  end

  for number = 0, 1 do
    it("finds the number that minimises, and says what is won: side " .. number, function()
      local stream, first = rng(8), 2
      local rows = (number == 0 and users or items) - first
      local others = number == 0 and items or users
      local side = side_of(number, first, rows + first)
      local function normal() return stream:normal() end
      local v, x, y, w = floats(others, normal), floats(others, normal), floats(others, normal), floats(others, normal)
      local s, t, z, before = floats(rows, normal), floats(rows, normal), floats(rows, normal), floats(rows, normal)
      local next, e, lambda = ffi.new("float[?]", rows), {}, 0.07
      for r = 0, rows - 1 do -- the residual, and what the terms make of it
        for j = tonumber(side.start[r]), tonumber(side.start[r + 1]) - 1 do
          local id = side.id[j]
          e[j] = side.residual[j] + 0.5 * s[r] * x[id] - t[r] * y[id] + 2 * z[r] - 3 * w[id] + w[id]
        end
      end
      local gain = side:solve({ { own = s, other = x, scale = 0.5 }, { own = z, scale = 2 }, { other = w, scale = -3 },
        { own = t, other = y, scale = -1 }, { other = w, scale = 1 } }, v, lambda, before, next)
      local won = 0
      for r = 0, rows - 1 do
        local from, to = tonumber(side.start[r]), tonumber(side.start[r + 1]) - 1
        local product, norm2 = 0, 0
        for j = from, to do
          assert.near(e[j], side.residual[j], 2e-6)
          product, norm2 = product + e[j] * v[side.id[j]], norm2 + v[side.id[j]] ^ 2
        end
        if to >= from then
          assert.near(product / (norm2 + lambda * (to - from + 1)), next[r], 1e-5)
          local here, h = objective(side, e, r, next[r], v, lambda), 1e-3
          local up, down = objective(side, e, r, next[r] + h, v, lambda), objective(side, e, r, next[r] - h, v, lambda)
          assert.is_true(up > here and down > here)
          assert.near(0, (up - down) / (2 * h), 1e-3) -- the slope
          won = won + objective(side, e, r, before[r], v, lambda) - here
        else
          assert.equal(before[r], next[r]) -- nobody asks for it
        end
      end
      assert.near(won, gain, 1e-4 * won)
    end)
  end

  it("solves against ones where there is no other vector", function()
    local side, zeros, next = side_of(0, 0, users), ffi.new("float[?]", users), ffi.new("float[?]", users)
    side:solve({}, nil, 0.5, zeros, next)
    local sum, count = 0, 0
    for t = 0, ratings.count - 1 do
      if ratings.user[t] == 7 then sum, count = sum + ratings.value[t] - mean, count + 1 end
    end
    assert.near(sum / (1.5 * count), next[7], 1e-6)
    assert.equal(0, next[1])
  end)

  it("adds terms, sums squares, and begins anew", function()
    local side = side_of(1, 0, items)
    local ones, sum = floats(users, function() return 2 end), 0
    for t = 0, ratings.count - 1 do sum = sum + (ratings.value[t] - mean + 2) ^ 2 end
    assert.near(sum, side:add { { other = ones, scale = 1 } }, 1e-5 * sum)
    side:reset()
    sum = 0
    for t = 0, ratings.count - 1 do sum = sum + (ratings.value[t] - mean) ^ 2 end
    assert.near(sum, side:add {}, 1e-5 * sum)
  end)

  it("refuses a third product, a negative lambda and rows that are none", function()
    local side, ones, next = side_of(0, 0, users), floats(users, function() return 1 end), ffi.new("float[?]", users)
    local product = { own = ones, other = ones, scale = 1 }
    assert.error_matches(function() side:add { product, product, product } end, "at most 2 products of vectors")
    assert.error_matches(function() side:solve({}, nil, -1, next, next) end, "lambda must not be negative, got %-1")
    local view = ffi.new("epact_mf_ratings", 0)
    local start = ffi.new "int64_t[4]"
    assert.is_true(core.C.epact_mf_ccd_sort(view, 2, 0, 1, 0, start, nil, nil) < 0)
    assert.is_true(core.C.epact_mf_ccd_sort(view, 0, 3, 1, 0, start, nil, nil) < 0)
    assert.equal(0, core.C.epact_mf_ccd_sort(view, 0, 1, 4, 0, start, nil, nil))
    assert.equal(0, tonumber(start[3]))
  end)
end)

local senate, senate_test = read "spec/fixtures/mf/senate"

describe("CCD++", function()
  local function votes(more)
    local given = { factors = 8, lambda = 0.02, epochs = 8, test = senate_test }
    for key, value in pairs(more or {}) do given[key] = value end
    return given
  end

  local one = train(senate, { workers = 1 }, votes())

  it("reaches in a few epochs the error of thirty of SGD", function()
    local sgd = epact.run({ workers = 1, seed = 1 }, function(w)
      return mf.fit(w, senate, { factors = 8, lambda = 0.02, step = 0.03, order = "rotation", test = senate_test })
    end)
    assert.is_true(last(one).test < last(sgd).test, ("%g, SGD %g"):format(last(one).test, last(sgd).test))
    assert.is_true(one.objective < sgd.objective)
  end)

  it("finds the biases of students' ratings", function()
    local ratings, test = read "examples/data/insteval"
    local biases = train(ratings, { workers = 2 }, { factors = 0, epochs = 9, test = test })
    assert.is_true(last(biases).test < 1.225) -- of the mean: 1.345
    -- With no factors there is one optimum, and this is a solver of it: sums of residuals are what the penalty asks.
    local k, sum, count = biases.factors, 0, 0
    for t = 0, ratings.count - 1 do
      local u, i = ratings.user[t], ratings.item[t]
      if i == 30 then
        sum, count = sum + ratings.value[t] - biases.mean - biases.user.value[u] - biases.item.value[i], count + 1
      end
    end
    assert.equal(0, k)
    assert.is_true(count > 5)
    assert.near(0.05 * biases.item.value[30], sum / count, 1e-4)
  end)

  for _, inner in ipairs { 1, 3 } do
    it(("never lets the objective rise: inner %d"):format(inner), function()
      local model = train(senate, { workers = 2 }, votes { inner = inner, epochs = 12 })
      for e = 2, 12 do
        assert.is_true(model.history[e].objective < model.history[e - 1].objective)
        assert.is_nil(model.history[e].step)
      end
      if inner == 3 then assert.is_true(model.history[3].objective < one.history[3].objective) end
    end)
  end

  it("has residuals that are those of its model", function()
    local sum, k = 0, one.factors
    for t = 0, senate.count - 1 do
      local p, q = one.user.value + senate.user[t] * (k + 1), one.item.value + senate.item[t] * (k + 1)
      local e = senate.value[t] - one.mean - p[k] - q[k]
      for f = 0, k - 1 do e = e - p[f] * q[f] end
      sum = sum + e * e
    end
    assert.near(math.sqrt(sum / senate.count), last(one).train, 1e-6)
    assert.near(last(one).test, one:score(senate_test), 1e-9)
  end)

  it("reaches the optimum of a full matrix, the soft-thresholded singular value decomposition", function()
    -- As in mf_spec: singular values 8, 4, 1 of Hadamard's vectors; with the penalty 8 lambda they become 6, 2, 0.
    local function sign(bit_mask, i) return bit.band(bit_mask, i) == 0 and 1 or -1 end
    local function entry(u, i, singular)
      local sum = 0
      for f, s in ipairs(singular) do sum = sum + s / 8 * sign(2 ^ (f - 1), u) * sign(2 ^ (f - 1), i) end
      return sum
    end
    local list = {}
    for u = 0, 7 do
      for i = 0, 7 do list[#list + 1] = { u, i, entry(u, i, { 8, 4, 1 }) } end
    end
    local model = train(of(8, 8, list), { workers = 2 }, { factors = 4, lambda = 0.25, bias_lambda = 1e20,
      epochs = 60 })
    for u = 0, 7 do
      for i = 0, 7 do assert.near(entry(u, i, { 6, 2, 0 }), model:predict(u, i), 1e-4) end
    end
    assert.near((4 + 2 * 2 * 6) + (4 + 2 * 2 * 2) + 1, model.objective, 1e-3)
  end)

  local expected = bits(one)

  for _, workers in ipairs { 2, 3, 4 } do
    it(("has the same bits with %d workers"):format(workers), function()
      local model = train(senate, { workers = workers }, votes())
      assert.equal(expected, bits(model))
      assert.near(one.objective, model.objective, 1e-9 * one.objective) -- a sum over workers
    end)
  end

  it("has the same bits in two processes of two", function()
    local results = jobs.run([[
      local epact, core = require "epact", require "epact.core"
      local senate = epact.data.ratings "spec/fixtures/mf/senate.tr.txt.gz"
      local test = epact.data.ratings("spec/fixtures/mf/senate.te.txt.gz", { users = senate.users,
        items = senate.items })
      local model = epact.run({ workers = 2, seed = 1 }, function(w)
        return require "epact.model.mf".fit(w, senate, { order = "ccd", factors = 8, lambda = 0.02, epochs = 8,
          test = test })
      end)
      local function crc(dense) return core.C.epact_crc32c(0, dense.value, dense.rows * dense.cols * 8) end
      print(("%d users %08x %d items %08x"):format(model.user.rows, crc(model.user), model.item.rows,
        crc(model.item)))
      print(("%.9f"):format(model.history[8].test))]], { processes = 2 })
    for rank = 0, 1 do
      assert.equal("", results[rank].errors)
      assert.equal(expected, results[rank].output:match "^[^\n]*")
      assert.near(last(one).test, tonumber(results[rank].output:match "\n(%S+)"), 1e-8)
    end
  end)
end)

describe("CCD++ with snapshots", function()
  local function train_with_snapshots(folder, workers, stop)
    local run = { workers = workers, seed = 5, deterministic = workers > 1, resume = "if any",
      snapshot = { every = 3, dir = folder } }
    local ok, model = pcall(epact.run, run, function(w)
      local barrier = w.barrier
      function w.barrier(self)
        barrier(self)
        if self:now() == stop then error "stopped" end
      end
      return mf.fit(w, senate, { factors = 3, epochs = 4, inner = 2, test = senate_test, order = "ccd" })
    end)
    if not ok then
      assert.matches("stopped", model)
      return nil
    end
    local all = { bits(model), ("%.17g"):format(model.objective) }
    for _, now in ipairs(model.history) do all[#all + 1] = ("%.17g %.17g"):format(now.train, now.test) end
    return table.concat(all, " ")
  end

  for workers = 1, 2 do
    it(("stopped and resumed has the bits of an undisturbed run: %d"):format(workers), function()
      local folder = os.tmpname()
      os.remove(folder)
      local calm = train_with_snapshots(folder .. ".calm", workers)
      for stop = 2, 60, 5 do assert.is_nil(train_with_snapshots(folder, workers, stop)) end
      assert.equal(calm, train_with_snapshots(folder, workers))
      os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
    end)
  end
end)

describe("CCD++ of unusual ratings", function()
  it("works with more workers than users, more factors than rows, and no penalty", function()
    local list = {}
    for t = 0, 5 do list[t + 1] = { t % 2, t % 3, t } end
    local model = train(of(2, 3, list), { workers = 4 }, { factors = 20, epochs = 100, lambda = 0 })
    assert.is_true(last(model).train < 1e-3)
    assert.equal(21, model.user.cols)
  end)

  it("knows one user and one item, and finds nothing in constant ratings", function()
    assert.near(3, train(of(1, 1, { { 0, 0, 3 } }), { workers = 2 }, { epochs = 5 }):predict(0, 0), 1e-3)
    local list = {}
    for t = 0, 11 do list[t + 1] = { t % 4, math.floor(t / 4), 2.5 } end
    local model = train(of(4, 3, list), { workers = 2 }, { epochs = 30 })
    assert.is_true(last(model).train < 1e-3)
    assert.equal(2.5, model.mean)
  end)

  it("counts users and items without ratings, whose rows are zeros", function()
    local list = {}
    for t = 0, 11 do list[t + 1] = { 2 * (t % 4), 1 + math.floor(t / 4), t % 5 } end
    local model = train(of(8, 5, list), { workers = 2 }, { epochs = 5, lambda = 0 })
    assert.same({ 4, 2 }, { model.cold_users, model.cold_items })
    for f = 0, 8 do
      assert.equal(0, model.user.value[3 * 9 + f])
      assert.equal(0, model.item.value[f])
    end
    assert.equal(model.mean, model:predict(1, 0))
  end)

  it("learns no factors where none are asked for, epoch after epoch", function()
    local model = train(senate, { workers = 2 }, { factors = 0, epochs = 4 })
    for e = 2, 4 do assert.is_true(model.history[e].objective < model.history[e - 1].objective * (1 + 1e-7)) end
    local sum = 0
    for t = 0, senate.count - 1 do
      sum = sum + (senate.value[t] - model.mean - model.user.value[senate.user[t]]
        - model.item.value[senate.item[t]]) ^ 2
    end
    assert.near(math.sqrt(sum / senate.count), last(model).train, 1e-6)
  end)

  it("says that numbers left the range of floats, and can keep the start", function()
    local huge = of(2, 2, { { 0, 0, 1e30 }, { 1, 1, -1e30 }, { 0, 1, 2e30 }, { 1, 0, 1e29 } })
    assert.error_matches(function() train(huge, { workers = 2 }, {}) end,
      "mf.fit: diverged at clock %d+ %(epoch 1%): a number left the range of floats: the ratings are too large %[E_DIV")
    local kept = train(huge, { workers = 2 }, { on_divergence = "keep" })
    assert.same({ "DIVERGED", 0 }, { kept.status, #kept.history })
  end)

  it("refuses options that it has not", function()
    for _, case in ipairs { { "step", 0.1 }, { "bias_step", 0.1 }, { "decay", 0.9 }, { "clocks", 4 } } do
      assert.error_matches(function() train(senate, { workers = 1 }, { [case[1]] = case[2] }) end,
        "mf.fit: option '" .. case[1] .. "' is none of order \"ccd\", which has no steps")
    end
    assert.error_matches(function() train(senate, { workers = 1 }, { blocks = 4 }) end,
      "option 'blocks' is one of order \"rotation\", not of \"ccd\"")
    assert.error_matches(function()
      epact.run({ workers = 1 }, function(w) mf.fit(w, senate, { inner = 2, order = "rotation" }) end)
    end, "option 'inner' is one of order \"ccd\", not of \"rotation\"")
  end)
end)
