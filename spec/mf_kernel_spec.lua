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

local function rates_of(step, lambda, bias_step, bias_lambda)
  return ffi.new("epact_mf_rates", step, lambda, bias_step or step, bias_lambda or lambda)
end

local function train(model, ratings, epochs, step, decay, lambda)
  local squared_error = ffi.new "double[1]"
  for epoch = 0, epochs - 1 do
    core.check(C.epact_mf_sgd(model.view, ratings.view, 0, ratings.n, rates_of(step * decay ^ epoch, lambda),
      squared_error))
  end
  return math.sqrt(squared_error[0] / ratings.n)
end

local function rmse(model, ratings)
  return math.sqrt(C.epact_mf_squared_error(model.view, ratings.view, 0, ratings.n, -math.huge, math.huge) / ratings.n)
end

--- The term of the objective that one rating contributes, in double.
local function term(model, u, i, value, lambda, bias_lambda)
  local k, stride = model.factors, model.stride
  local p, q = model.user + u * stride, model.item + i * stride
  local e, norm2 = value - model.view.mean - p[k] - q[k], 0
  for f = 0, k - 1 do
    e = e - p[f] * q[f]
    norm2 = norm2 + p[f] ^ 2 + q[f] ^ 2
  end
  return e ^ 2 + lambda * norm2 + bias_lambda * (p[k] ^ 2 + q[k] ^ 2)
end

--- mf.h's equations, one rating after another.
local function textbook(model, ratings, step, lambda, bias_step, bias_lambda)
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
    p[k] = p[k] + bias_step * (e - bias_lambda * p[k])
    q[k] = q[k] + bias_step * (e - bias_lambda * q[k])
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
  for _, name in ipairs { "sgd", "hogwild" } do
    local run = C["epact_mf_" .. name]
    for _, k in ipairs { 0, 5, 8, 16, 32, 64 } do
      it(("steps along half the gradient, %s, %d factors"):format(name, k), function()
        local lambda, bias_lambda, step, bias_step, h = 0.3, 0.7, 0.125, 0.0625, 1e-3
        local before, after = model_of(2, 3, k, 0.5, 7, 0.5), model_of(2, 3, k, 0.5, 7, 0.5)
        before.user[before.stride + k], after.user[after.stride + k] = 0.25, 0.25
        before.item[2 * before.stride + k], after.item[2 * after.stride + k] = -0.5, -0.5
        core.check(run(after.view, ratings_of({ 1 }, { 2 }, { 3 }).view, 0, 1,
          rates_of(step, lambda, bias_step, bias_lambda), nil))
        for _, side in ipairs { { "user", 1 }, { "item", 2 } } do
          local array, row = side[1], side[2] * before.stride
          for f = 0, k do
            local parameter = before[array]
            local kept = parameter[row + f]
            parameter[row + f] = kept + h
            local up, above = term(before, 1, 2, 3, lambda, bias_lambda), parameter[row + f]
            parameter[row + f] = kept - h
            local down, below = term(before, 1, 2, 3, lambda, bias_lambda), parameter[row + f]
            parameter[row + f] = kept
            local gradient = (up - down) / (above - below)
            assert.near(-gradient / 2, (after[array][row + f] - kept) / (f < k and step or bias_step), 1e-5)
          end
          for other = 0, side[2] - 1 do
            for f = 0, before.stride - 1 do
              assert.equal(before[array][other * before.stride + f], after[array][other * before.stride + f])
            end
          end
        end
      end)

      it(("agrees with the textbook over many ratings, %s, %d factors"):format(name, k), function()
        local ratings = random_ratings(20, 15, 2000, 3)
        local fast, slow = model_of(20, 15, k, 3, 5), model_of(20, 15, k, 3, 5)
        for i = 0, 20 * fast.stride - 1 do -- marks behind the bias, to be left alone
          if i % fast.stride > k then fast.user[i], slow.user[i] = 42, 42 end
        end
        local squared_error, rates = ffi.new "double[1]", rates_of(0.02, 0.05, 0.01, 0.3)
        core.check(run(fast.view, ratings.view, 0, 1234, rates, squared_error))
        local sum = squared_error[0]
        core.check(run(fast.view, ratings.view, 1234, 2000, rates, squared_error))
        assert.near(textbook(slow, ratings, 0.02, 0.05, 0.01, 0.3), sum + squared_error[0], 0.02)
        for i = 0, 20 * fast.stride - 1 do assert.near(slow.user[i], fast.user[i], 2e-5) end
        for i = 0, 15 * fast.stride - 1 do assert.near(slow.item[i], fast.item[i], 2e-5) end
      end)
    end
  end

  it("adds up the penalty by the ratings of each row", function()
    local row, count = ffi.new("float[8]", { 1, 2, 3, 99, 0.5, 0, 4, 99 }), ffi.new("int64_t[2]", { 3, 2 })
    assert.near(3 * (0.1 * 5 + 0.01 * 9) + 2 * (0.1 * 0.25 + 0.01 * 16),
      C.epact_mf_penalty(row, 2, 4, 2, count, 0.1, 0.01), 1e-12)
  end)

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
    assert.equal(0, C.epact_mf_squared_error(model.view, far.view, 0, 1, 1, 5))
    assert.is_true(rmse(model, far) > 2)
    assert.equal(0, C.epact_mf_squared_error(model.view, far.view, 0, 0, 1, 5))
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

  it("deals ratings into cells, there by user, and keeps the order otherwise", function()
    local ratings = random_ratings(30, 21, 500, 9)
    for t = 0, 499 do ratings.value[t] = t end
    local stream = rng(4)
    local user_label, item_label = ffi.new "uint32_t[30]", ffi.new "uint32_t[21]"
    for u = 0, 29 do user_label[u] = u end
    for i = 0, 20 do item_label[i] = i end
    C.epact_rng_shuffle(stream, user_label, 30)
    C.epact_rng_shuffle(stream, item_label, 21)
    local user_cut = ffi.new("int64_t[5]", { 0, 4, 4, 19, 30 }) -- one block is empty
    local item_cut = ffi.new("int64_t[4]", { 0, 8, 20, 21 })
    for _, labels in ipairs { { user_label, item_label }, { nil, nil } } do
      local seen = {}
      for _, range in ipairs { { 0, 3 }, { 3, 4 }, { 2, 2 } } do
        local cuts = ffi.new("epact_mf_cuts", 4, 3, labels[1], labels[2], user_cut, item_cut)
        local user, item = ffi.new "uint32_t[500]", ffi.new "uint32_t[500]"
        local value, start = ffi.new "float[500]", ffi.new "int64_t[13]"
        core.check(C.epact_mf_grid(ratings.view, cuts, range[1], range[2], user, item, value, start))
        assert.equal(0, tonumber(start[0]))
        for cell = 0, (range[2] - range[1]) * 3 - 1 do
          local b, c = range[1] + math.floor(cell / 3), cell % 3
          for t = tonumber(start[cell]), tonumber(start[cell + 1]) - 1 do
            local from, u = value[t], user[t] + tonumber(user_cut[range[1]])
            assert.is_true(u >= user_cut[b] and u < user_cut[b + 1])
            assert.is_true(item[t] >= item_cut[c] and item[t] < item_cut[c + 1])
            assert.equal(labels[1] and user_label[ratings.user[from]] or ratings.user[from], u)
            assert.equal(labels[2] and item_label[ratings.item[from]] or ratings.item[from], item[t])
            assert.is_nil(seen[from])
            seen[from] = true
            if t > start[cell] then
              assert.is_true(user[t - 1] < user[t] or (user[t - 1] == user[t] and value[t - 1] < from))
            end
          end
        end
      end
      for t = 0, 499 do assert.is_true(seen[t]) end
    end
  end)

  it("refuses a grid that cannot be", function()
    local ratings, cut = ratings_of({ 0 }, { 0 }, { 1 }), ffi.new("int64_t[3]", { 0, 1, 1 })
    local function refused(pattern, blocks, first, last)
      local cuts = ffi.new("epact_mf_cuts", blocks, 1, nil, nil, cut, cut)
      assert.equal(C.EPACT_E_MISUSE, C.epact_mf_grid(ratings.view, cuts, first, last, nil, nil, nil, nil))
      assert.matches(pattern, message())
    end
    refused("1 to 65535 blocks", 0, 0, 0)
    refused("1 to 65535 blocks", 65536, 0, 1)
    local many = ffi.new("epact_mf_cuts", 65535, 65535, nil, nil, cut, cut)
    assert.equal(C.EPACT_E_LIMIT, C.epact_mf_grid(ratings.view, many, 0, 1, nil, nil, nil, nil))
    refused("1 to 3 is not a range of 2 blocks", 2, 1, 3)
    refused("0 to 2 is not a range", 1, 0, 2)
    assert.equal(C.EPACT_E_MISUSE, C.epact_mf_shuffle(ratings.view, 1, 0, 2, nil, nil, nil))
    assert.matches("0 to 2 is not a range of 1 ratings", message())
  end)

  it("puts ratings in a random order, the same in parts", function()
    local function shuffled(n, seed, cut)
      local ratings = ratings_of({}, {}, {})
      ratings.user, ratings.item, ratings.value = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n),
        ffi.new("float[?]", n)
      for t = 0, n - 1 do ratings.user[t], ratings.item[t], ratings.value[t] = t, n - t, t end
      local view = ffi.new("epact_mf_ratings", n, ratings.user, ratings.item, ratings.value)
      local user, item, value = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n), ffi.new("float[?]", n)
      core.check(C.epact_mf_shuffle(view, seed, cut, n, user, item, value))
      core.check(C.epact_mf_shuffle(view, seed, 0, cut, user, item, value))
      local order, seen = {}, {}
      for t = 0, n - 1 do
        assert.equal(user[t], value[t])
        assert.equal(n - user[t], item[t])
        assert.is_nil(seen[user[t]])
        order[t], seen[user[t]] = user[t], true
      end
      return order
    end
    for _, n in ipairs { 1, 2, 3, 4, 5, 63, 64, 65, 1000 } do shuffled(n, 7, 0) end
    local n = 4096
    local one, same, other = shuffled(n, 7, 0), shuffled(n, 7, 1234), shuffled(n, 8, 0)
    assert.same(one, same)
    -- As of independent uniform numbers: correlations of neighbours, with the position, and of two seeds vanish.
    local function correlation(a, b, shift)
      local sum = 0
      for t = 0, n - 1 - shift do sum = sum + (a[t] / n - 0.5) * (b[t + shift] / n - 0.5) end
      return 12 * sum / n
    end
    local position, fixed = {}, 0
    for t = 0, n - 1 do
      position[t] = t
      if one[t] == t then fixed = fixed + 1 end
    end
    for _, pair in ipairs { { one, one, 1 }, { one, one, 2 }, { one, position, 0 }, { one, other, 0 } } do
      assert.near(0, correlation(unpack(pair)), 4 / math.sqrt(n)) -- four standard errors
    end
    assert.is_true(fixed <= 6) -- Poisson with mean 1
  end)

  it("refuses what it cannot use, by position", function()
    local function refused(pattern, user, item, value)
      assert.equal(C.EPACT_E_MISUSE, C.epact_mf_check(ratings_of(user, item, value).view, 3, 2, nil, nil, nil))
      assert.matches(pattern, message())
    end
    refused("rating 1: user 3 is not below 3", { 0, 3 }, { 0, 1 }, { 1, 2 })
    refused("rating 0: item 2 is not below 2", { 0, 2 }, { 2, 1 }, { 1, 2 })
    refused("rating 2: the value is not finite", { 0, 2, 1 }, { 0, 1, 1 }, { 1, 2, 0 / 0 })
    refused("no ratings", {}, {}, {})
    local summary, users, items = ffi.new "epact_mf_summary", ffi.new "int64_t[3]", ffi.new "int64_t[2]"
    core.check(C.epact_mf_check(ratings_of({ 0, 2, 2 }, { 1, 0, 1 }, { 1, 4, 7 }).view, 3, 2, users, items, summary))
    assert.equal(4, summary.mean)
    assert.near(math.sqrt(6), summary.deviation, 1e-12)
    assert.same({ 1, 7 }, { summary.low, summary.high })
    assert.same({ 1, 0, 2, 1, 2 }, { tonumber(users[0]), tonumber(users[1]), tonumber(users[2]), tonumber(items[0]),
      tonumber(items[1]) })
    core.check(C.epact_mf_check(ratings_of({ 0, 2 }, { 1, 0 }, { 0.1, 0.1 }).view, 3, 2, nil, nil, summary))
    assert.equal(0, summary.deviation)
    local model, one = model_of(2, 2, 8, 0, 1), ratings_of({ 0 }, { 0 }, { 1 })
    assert.equal(C.EPACT_E_MISUSE, C.epact_mf_sgd(model.view, one.view, 0, 2, rates_of(0.1, 0), nil))
    for _, wrong in ipairs { rates_of(0, 0), rates_of(1, -1), rates_of(1, 0, 0), rates_of(1, 0, 1, 0 / 0) } do
      assert.equal(C.EPACT_E_MISUSE, C.epact_mf_sgd(model.view, one.view, 0, 1, wrong, nil))
      assert.equal(C.EPACT_E_MISUSE, C.epact_mf_hogwild(model.view, one.view, 0, 1, wrong, nil))
    end
    model.view.stride = 8
    assert.equal(C.EPACT_E_MISUSE, C.epact_mf_sgd(model.view, one.view, 0, 1, rates_of(0.1, 0), nil))
    assert.matches("stride", message())
  end)

  it("reports divergence", function()
    for _, k in ipairs { 5, 16 } do
      local model, ratings = model_of(20, 15, k, 0, 1), random_ratings(20, 15, 2000, 3)
      assert.equal(C.EPACT_E_DIVERGED, C.epact_mf_sgd(model.view, ratings.view, 0, 2000, rates_of(5, 0), nil))
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
    local ratings, test, summary = view(train_set), view(test_set), ffi.new "epact_mf_summary"
    core.check(C.epact_mf_check(ratings.view, 2972, 1128, nil, nil, summary))
    core.check(C.epact_mf_check(test.view, 2972, 1128, nil, nil, nil))
    local n, mean = ratings.n, summary.mean
    local user, item, value = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n), ffi.new("float[?]", n)
    local user_cut, item_cut = ffi.new("int64_t[2]", { 0, 2972 }), ffi.new("int64_t[2]", { 0, 1128 })
    local cuts = ffi.new("epact_mf_cuts", 1, 1, nil, nil, user_cut, item_cut)
    core.check(C.epact_mf_grid(ratings.view, cuts, 0, 1, user, item, value, ffi.new "int64_t[2]"))
    ratings.view.user, ratings.view.item, ratings.view.value = user, item, value
    local model = model_of(2972, 1128, 16, mean, 1)
    train(model, ratings, 30, 0.01, 0.9, 0.1)
    assert.is_true(rmse(model, test) < 1.22) -- libmf's best 1.234
    assert.is_true(rmse(model_of(2972, 1128, 16, mean, 1), test) > 1.3)
  end)
end)
