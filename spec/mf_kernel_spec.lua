--- Matrix factorisation by SGD: the step is the gradient's, fast paths agree with the textbook, factors are found.
local ffi = require "ffi"
local core = require "epact.core"
local rng = require "epact.rng"
local C = core.C

local function message() return ffi.string(C.epact_error_message()) end

--- Ratings from Lua lists; the table keeps the arrays alive.
local function ratings_of(user, item, value)
  local n = #user
  local r = { n = n, user = ffi.new("uint32_t[?]", n, user), item = ffi.new("uint32_t[?]", n, item),
    value = ffi.new("float[?]", n, value) }
  r.view = ffi.new("epact_mf_ratings", n, r.user, r.item, r.value)
  return r
end

local function model_of(users, items, factors, mean, seed, deviation)
  local stride = factors + 3
  local m = { users = users, items = items, factors = factors, stride = stride,
    user = ffi.new("float[?]", users * stride), item = ffi.new("float[?]", items * stride) }
  core.check(C.epact_mf_init(m.user, 0, users, stride, factors, 0, deviation or 0.1, seed or 1))
  core.check(C.epact_mf_init(m.item, 0, items, stride, factors, 1, deviation or 0.1, seed or 1))
  m.view = ffi.new("epact_mf_model", users, items, stride, factors, mean or 0, m.user, m.item)
  return m
end

local function train(model, ratings, epochs, step, decay, lambda)
  local squared_error = ffi.new "double[1]"
  for epoch = 0, epochs - 1 do
    core.check(C.epact_mf_sgd(model.view, ratings.view, 0, ratings.n, step * decay ^ epoch, lambda, squared_error))
  end
  return math.sqrt(squared_error[0] / ratings.n)
end

local function rmse(model, ratings)
  return C.epact_mf_rmse(model.view, ratings.view, 0, ratings.n, -math.huge, math.huge)
end

--- The term of the objective that one rating contributes, in double.
local function term(model, u, i, value, lambda)
  local k, stride = model.factors, model.stride
  local p, q = model.user + u * stride, model.item + i * stride
  local e, norm2 = value - model.view.mean - p[k] - q[k], p[k] ^ 2 + q[k] ^ 2
  for f = 0, k - 1 do
    e = e - p[f] * q[f]
    norm2 = norm2 + p[f] ^ 2 + q[f] ^ 2
  end
  return e ^ 2 + lambda * norm2
end

--- mf.h's equations, one rating after another.
local function textbook(model, ratings, step, lambda)
  local k, stride, sum = model.factors, model.stride, 0
  for t = 0, ratings.n - 1 do
    local p, q = model.user + ratings.user[t] * stride, model.item + ratings.item[t] * stride
    local e = ratings.value[t] - model.view.mean - p[k] - q[k]
    for f = 0, k - 1 do e = e - p[f] * q[f] end
    for f = 0, k - 1 do
      local old = p[f]
      p[f] = old + step * (e * q[f] - lambda * old)
      q[f] = q[f] + step * (e * old - lambda * q[f])
    end
    p[k] = p[k] + step * (e - lambda * p[k])
    q[k] = q[k] + step * (e - lambda * q[k])
    sum = sum + e ^ 2
  end
  return sum
end

local function random_ratings(users, items, n, seed)
  local stream, user, item, value = rng(seed), {}, {}, {}
  for t = 1, n do
    -- Runs of one user, with an item now and then rated twice in a row.
    user[t] = (t > 1 and stream:uniform() < 0.8) and user[t - 1] or stream:below(users)
    item[t] = (t > 1 and stream:uniform() < 0.1) and item[t - 1] or stream:below(items)
    value[t] = 1 + stream:below(5)
  end
  return ratings_of(user, item, value)
end

--- Ratings of a matrix with biases and `rank` factors, noise added; every `hold`-th goes to the test set.
local function low_rank(users, items, rank, noise, hold, seed)
  local stream, a, bias = rng(seed), {}, {}
  for i = 0, users + items - 1 do
    bias[i] = stream:normal() * 0.5
    for f = 0, rank - 1 do a[i * rank + f] = stream:normal() end
  end
  local train_list, test_list = { {}, {}, {} }, { {}, {}, {} }
  for u = 0, users - 1 do
    for i = 0, items - 1 do
      local r = bias[u] + bias[users + i] + noise * stream:normal()
      for f = 0, rank - 1 do r = r + a[u * rank + f] * a[(users + i) * rank + f] end
      local list = (hold and stream:below(hold) == 0) and test_list or train_list
      list[1][#list[1] + 1], list[2][#list[2] + 1], list[3][#list[3] + 1] = u, i, r
    end
  end
  return ratings_of(unpack(train_list)), ratings_of(unpack(test_list))
end

describe("mf kernel", function()
  for _, k in ipairs { 0, 5, 8, 16, 32, 64 } do
    it(("steps along half the gradient, %d factors"):format(k), function()
      local lambda, step, h = 0.3, 0.125, 1e-3
      local before, after = model_of(2, 3, k, 0.5, 7, 0.5), model_of(2, 3, k, 0.5, 7, 0.5)
      before.user[before.stride + k], after.user[after.stride + k] = 0.25, 0.25
      core.check(C.epact_mf_sgd(after.view, ratings_of({ 1 }, { 2 }, { 3 }).view, 0, 1, step, lambda, nil))
      for _, side in ipairs { { "user", 1 }, { "item", 2 } } do
        local name, row = side[1], side[2] * before.stride
        for f = 0, k do
          local parameter = before[name]
          local kept = parameter[row + f]
          parameter[row + f] = kept + h
          local up, above = term(before, 1, 2, 3, lambda), parameter[row + f]
          parameter[row + f] = kept - h
          local down, below = term(before, 1, 2, 3, lambda), parameter[row + f]
          parameter[row + f] = kept
          local gradient = (up - down) / (above - below)
          assert.near(-gradient / 2, (after[name][row + f] - kept) / step, 1e-5)
        end
        for other = 0, side[2] - 1 do
          for f = 0, before.stride - 1 do
            assert.equal(before[name][other * before.stride + f], after[name][other * before.stride + f])
          end
        end
      end
    end)

    it(("agrees with the textbook over many ratings, %d factors"):format(k), function()
      local ratings = random_ratings(20, 15, 2000, 3)
      local fast, slow = model_of(20, 15, k, 3, 5), model_of(20, 15, k, 3, 5)
      for i = 0, 20 * fast.stride - 1 do -- marks behind the bias, to be left alone
        if i % fast.stride > k then fast.user[i], slow.user[i] = 42, 42 end
      end
      local squared_error = ffi.new "double[1]"
      core.check(C.epact_mf_sgd(fast.view, ratings.view, 0, 1234, 0.02, 0.05, squared_error))
      local sum = squared_error[0]
      core.check(C.epact_mf_sgd(fast.view, ratings.view, 1234, 2000, 0.02, 0.05, squared_error))
      assert.near(textbook(slow, ratings, 0.02, 0.05), sum + squared_error[0], 0.02)
      for i = 0, 20 * fast.stride - 1 do assert.near(slow.user[i], fast.user[i], 2e-5) end
      for i = 0, 15 * fast.stride - 1 do assert.near(slow.item[i], fast.item[i], 2e-5) end
    end)
  end

  it("recovers a matrix of low rank", function()
    local ratings = low_rank(40, 30, 2, 0, nil, 11)
    local model = model_of(40, 30, 8, 0, 1)
    train(model, ratings, 2000, 0.02, 1, 0)
    assert.near(0, rmse(model, ratings), 1e-3)
  end)

  it("beats biases alone on held-out ratings", function()
    local ratings, test = low_rank(120, 80, 3, 0.3, 5, 13)
    local biases, factors = model_of(120, 80, 0, 0, 1), model_of(120, 80, 8, 0, 1)
    train(biases, ratings, 40, 0.02, 0.97, 0.02)
    train(factors, ratings, 40, 0.02, 0.97, 0.02)
    assert.is_true(rmse(factors, test) < 0.5)
    assert.is_true(rmse(biases, test) > 1.2)
  end)

  it("gives the same bits for disjoint blocks in any order", function()
    local left, right = random_ratings(10, 8, 300, 1), random_ratings(10, 8, 300, 2)
    for t = 0, 299 do right.user[t], right.item[t] = right.user[t] + 10, right.item[t] + 8 end
    local one, two = model_of(20, 16, 16, 3, 1), model_of(20, 16, 16, 3, 1)
    for _ = 1, 3 do
      train(one, left, 1, 0.05, 1, 0.05); train(one, right, 1, 0.05, 1, 0.05)
      train(two, right, 1, 0.05, 1, 0.05); train(two, left, 1, 0.05, 1, 0.05)
    end
    for i = 0, 20 * one.stride - 1 do assert.equal(one.user[i], two.user[i]) end
    for i = 0, 16 * one.stride - 1 do assert.equal(one.item[i], two.item[i]) end
  end)

  it("clips predictions, and knows the mean of strangers", function()
    local model = model_of(2, 2, 8, 3, 1)
    model.user[8], model.item[8] = 4, 0.5
    assert.near(3.5, C.epact_mf_predict(model.view, 9, 0), 1e-6)
    assert.equal(3, C.epact_mf_predict(model.view, -1, 2))
    local far = ratings_of({ 0 }, { 0 }, { 5 })
    assert.equal(0, C.epact_mf_rmse(model.view, far.view, 0, 1, 1, 5))
    assert.is_true(rmse(model, far) > 2)
    assert.equal(0, C.epact_mf_rmse(model.view, far.view, 0, 0, 1, 5))
  end)
end)

describe("mf kernel, preparation", function()
  it("draws the same factors however rows are divided", function()
    local whole, parts = ffi.new "float[1700]", ffi.new "float[1700]"
    core.check(C.epact_mf_init(whole, 0, 100, 17, 16, 0, 0.1, 5))
    core.check(C.epact_mf_init(parts, 37, 100, 17, 16, 0, 0.1, 5))
    core.check(C.epact_mf_init(parts, 0, 37, 17, 16, 0, 0.1, 5))
    local sum, squares = 0, 0
    for i = 0, 1699 do
      assert.equal(whole[i], parts[i])
      if i % 17 == 16 then assert.equal(0, whole[i]) end
      sum, squares = sum + whole[i], squares + whole[i] ^ 2
    end
    assert.near(0, sum / 1600, 4 * 0.1 / 40) -- four standard errors
    assert.near(0.01, squares / 1600, 4 * 0.01 * math.sqrt(2 / 1600))
  end)

  it("sorts by block of items, then user, and keeps the order otherwise", function()
    local ratings = random_ratings(30, 21, 500, 9)
    for t = 0, 499 do ratings.value[t] = t end
    local user, item = ffi.new "uint32_t[500]", ffi.new "uint32_t[500]"
    local value, start = ffi.new "float[500]", ffi.new "int64_t[4]"
    core.check(C.epact_mf_sort(ratings.view, 30, 21, 8, user, item, value, start))
    local seen, block = {}, 0
    for t = 0, 499 do
      while t >= start[block + 1] do block = block + 1 end
      assert.equal(block, math.floor(item[t] / 8))
      assert.equal(ratings.user[value[t]], user[t])
      assert.equal(ratings.item[value[t]], item[t])
      seen[value[t]] = true
      if t > start[block] then
        assert.is_true(user[t - 1] < user[t] or (user[t - 1] == user[t] and value[t - 1] < value[t]))
      end
    end
    for t = 0, 499 do assert.is_true(seen[t]) end
    assert.equal(500, tonumber(start[3]))
  end)

  it("refuses what it cannot use, by position", function()
    local function refused(pattern, user, item, value)
      assert.equal(C.EPACT_E_MISUSE, C.epact_mf_check(ratings_of(user, item, value).view, 3, 2, nil))
      assert.matches(pattern, message())
    end
    refused("rating 1: user 3 is not below 3", { 0, 3 }, { 0, 1 }, { 1, 2 })
    refused("rating 0: item 2 is not below 2", { 0, 2 }, { 2, 1 }, { 1, 2 })
    refused("rating 2: the value is not finite", { 0, 2, 1 }, { 0, 1, 1 }, { 1, 2, 0 / 0 })
    refused("no ratings", {}, {}, {})
    local mean = ffi.new "double[1]"
    core.check(C.epact_mf_check(ratings_of({ 0, 2 }, { 1, 0 }, { 1, 4 }).view, 3, 2, mean))
    assert.equal(2.5, mean[0])
    local model, one = model_of(2, 2, 8, 0, 1), ratings_of({ 0 }, { 0 }, { 1 })
    assert.equal(C.EPACT_E_MISUSE, C.epact_mf_sgd(model.view, one.view, 0, 2, 0.1, 0, nil))
    assert.equal(C.EPACT_E_MISUSE, C.epact_mf_sgd(model.view, one.view, 0, 1, 0, 0, nil))
    model.view.stride = 8
    assert.equal(C.EPACT_E_MISUSE, C.epact_mf_sgd(model.view, one.view, 0, 1, 0.1, 0, nil))
    assert.matches("stride", message())
  end)

  it("reports divergence", function()
    for _, k in ipairs { 5, 16 } do
      local model, ratings = model_of(20, 15, k, 0, 1), random_ratings(20, 15, 2000, 3)
      assert.equal(C.EPACT_E_DIVERGED, C.epact_mf_sgd(model.view, ratings.view, 0, 2000, 5, 0, nil))
      assert.matches("smaller step", message())
    end
  end)
end)

describe("mf kernel, lecture evaluations", function()
  local data = require "epact.data"
  local train_set = data.ratings "examples/data/insteval.tr.txt.gz"
  local test_set = data.ratings "examples/data/insteval.te.txt.gz"

  it("are predicted as well as libmf does, and better", function()
    local function view(r)
      return { n = tonumber(r.count), view = ffi.new("epact_mf_ratings", r.count, r.user, r.item, r.value), owner = r }
    end
    local ratings, test, mean = view(train_set), view(test_set), ffi.new "double[1]"
    core.check(C.epact_mf_check(ratings.view, 2972, 1128, mean))
    core.check(C.epact_mf_check(test.view, 2972, 1128, nil))
    local n = ratings.n
    local user, item, value = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n), ffi.new("float[?]", n)
    core.check(C.epact_mf_sort(ratings.view, 2972, 1128, 1128, user, item, value, nil))
    ratings.view.user, ratings.view.item, ratings.view.value = user, item, value
    local model = model_of(2972, 1128, 16, mean[0], 1)
    train(model, ratings, 30, 0.01, 0.9, 0.1)
    assert.is_true(rmse(model, test) < 1.22) -- libmf's best 1.234
    assert.is_true(rmse(model_of(2972, 1128, 16, mean[0], 1), test) > 1.3)
  end)
end)
