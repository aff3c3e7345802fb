-- The SGD kernels against the equations of csrc/kernel/sgd.h with everything paid at once.
local ffi = require "ffi"
local core = require "epact.core"
local epact = require "epact"
local kernel = require "epact.kernel.sgd"
local loss = require "epact.optim.loss"
local rows = require "support.rows"

local inf = math.huge

local function rule_of(given)
  local rule = { step = 0.1, decay = 0, power = 1, l1 = 0, l2 = 0, low = -inf, high = inf, batch = 1, intercept = false,
    watched = false }
  for name, value in pairs(given or {}) do rule[name] = value end
  return rule
end

local function soft(z, t) return z > t and z - t or z < -t and z + t or 0 end

-- Weights and bias (at [p]) after the updates; `seen(w)` is called after each; `watched` is the sum of losses.
local function textbook(X, y, one, rule, order, w, seen)
  local t, watched, p = 0, 0, X.cols
  for first = 0, #order, rule.batch do
    if first > #order then break end
    local last = math.min(first + rule.batch - 1, #order)
    local eta, slopes, count = rule.step / (1 + rule.decay * t) ^ rule.power, {}, last - first + 1
    for k = first, last do
      local i = order[k]
      local margin = X:dot(i, w) + w[p]
      watched = watched + one:value(margin, y[i])
      slopes[i] = one:derivative(margin, y[i])
    end
    for k = first, last do
      local index, value, n = X:row(order[k])
      for e = 0, n - 1 do w[index[e]] = w[index[e]] - eta / count * slopes[order[k]] * value[e] end
      if rule.intercept then w[p] = w[p] - eta / count * slopes[order[k]] end
    end
    for j = 0, p - 1 do
      w[j] = math.max(rule.low, math.min(rule.high, soft(w[j], eta * rule.l1) / (1 + eta * rule.l2)))
    end
    t = t + 1
    if seen then seen(w) end
  end
  return watched
end

local function start(p)
  local w = {}
  for j = 0, p do w[j] = math.sin(j) / 3 end
  return w
end

local function shuffled(n, seed)
  local list, order = {}, ffi.new("uint32_t[?]", n)
  for i = 0, n - 1 do list[i], order[i] = i, i end
  core.C.epact_rng_shuffle(epact.rng(seed), order, n)
  for i = 0, n - 1 do list[i] = order[i] end
  return list, order
end

local function as_array(w, p)
  local array = ffi.new("double[?]", p + 1)
  for j = 0, p do array[j] = w[j] end
  return array
end

local cases = {
  ["no penalty"] = {}, ["l2"] = { l2 = 0.03 }, ["l1"] = { l1 = 0.02 }, ["l1 and l2"] = { l1 = 0.01, l2 = 0.05 },
  ["1/t"] = { step = 2, decay = 0.5, l1 = 0.01, l2 = 0.1 },
  ["1/sqrt t"] = { decay = 1, power = 0.5, l1 = 0.02, l2 = 0.01 },
  ["another power"] = { decay = 1, power = 0.3, l2 = 0.2 }, ["batches"] = { batch = 7, l1 = 0.02, l2 = 0.02 },
  ["an intercept"] = { intercept = true, l2 = 0.02, batch = 3 },
  ["a scale to fold"] = { step = 0.5, l2 = 9, l1 = 1e-3 },
  ["non-negative"] = { low = 0, l1 = 0.01 }, ["a box"] = { low = -0.1, high = 0.2, l2 = 0.3, l1 = 0.1 },
  ["a box, in batches"] = { low = -0.1, high = 0.2, l2 = 0.3, batch = 9, step = 1 },
  ["a box without 0"] = { low = 0.05, high = 0.2 },
}

describe("the SGD kernel", function()
  local X, y = rows.random(83, 19, 0.3, "signs", 5)
  local list, order = shuffled(83, 2)

  for name, given in pairs(cases) do
    for _, one in ipairs { loss.logistic(), loss.squared_hinge() } do
      it(("pays lazily what the equations pay at once: %s, %s"):format(name, one.name), function()
        local rule, w = rule_of(given), start(19)
        rule.watched = true
        for j = 0, 18 do w[j] = math.max(rule.low, math.min(rule.high, w[j])) end
        local begun = as_array(w, 19)
        local watched = textbook(X, y, one, rule, list, w)
        for _, data in ipairs { X, rows.dense(X) } do
          if data == X or rule.low <= 0 then -- a dense row touches all
            local descent = kernel.new(data, y, one, rule)
            descent:begin(begun)
            assert.is_true(descent:steps(order, 0, 42 - 42 % rule.batch))
            assert.is_true(descent:steps(order, 42 - 42 % rule.batch, 83))
            local now = descent:current()
            for j = 0, 19 do assert.near(w[j], now[j], 1e-12) end
            assert.near(watched, descent.state.loss, 1e-10)
            assert.equal(math.ceil(83 / rule.batch), tonumber(descent.state.updates))
          end
        end
      end)
    end
  end

  for _, one in ipairs { loss.squared(), loss.huber(0.3), loss.hinge(), loss.smoothed_hinge(0.5) } do
    it("has every loss: " .. one.name, function()
      local rule, w = rule_of { l2 = 0.02 }, start(19)
      local begun = as_array(w, 19)
      textbook(X, y, one, rule, list, w)
      local descent = kernel.new(X, y, one, rule)
      descent:begin(begun)
      assert.is_true(descent:steps(order, 0, 83))
      for j = 0, 18 do assert.near(w[j], descent:current()[j], 1e-13) end
    end)
  end

  it("sums its iterates, also over a fold", function()
    for _, l2 in ipairs { 0.05, 9 } do
      local rule, w, sum = rule_of { l2 = l2, intercept = true, low = l2 == 9 and -0.2 or -inf }, start(19), {}
      for j = 0, 18 do w[j] = math.max(rule.low, w[j]) end
      local begun = as_array(w, 19)
      for j = 0, 19 do sum[j] = 0 end
      textbook(X, y, loss.logistic(), rule, list, w, function(now) for j = 0, 19 do sum[j] = sum[j] + now[j] end end)
      local descent, total = kernel.new(X, y, loss.logistic(), rule), ffi.new "double[20]"
      descent:keep_sum(true)
      descent:begin(begun)
      descent:steps(order, 0, 40)
      descent:take_sum(total)
      descent:begin(descent:current())
      descent:steps(order, 40, 83)
      descent:take_sum(total)
      for j = 0, 19 do
        assert.near(w[j], descent:current()[j], 1e-12)
        assert.near(sum[j], total[j], 1e-10)
      end
    end
  end)

  it("finds the running mean with the step 1/t", function()
    local n, sum = 50, 0
    local ones, numbers = epact.data.new("sparse", n, 1, n), epact.data.new("dense", n, 1)
    for i = 0, n - 1 do
      ones.start[i + 1], ones.value[i], numbers.value[i] = i + 1, 1, math.cos(i) * 10
      sum = sum + numbers.value[i]
    end
    local descent = kernel.new(ones, numbers, loss.squared(), rule_of { step = 1, decay = 1 })
    descent:begin(ffi.new "double[2]")
    local all = ffi.new("uint32_t[?]", n)
    for i = 0, n - 1 do all[i] = i end
    descent:steps(all, 0, n)
    assert.near(sum / n, descent:current()[0], 1e-13)
  end)

  it("takes SVRG's updates, also over a fold", function()
    for _, l2 in ipairs { 0.02, 9 } do
      local rule, p = rule_of { l2 = l2, intercept = true, step = 0.05 }, 19
      local one, anchor, w = loss.logistic(), as_array(start(p), p), start(p)
      local gradient, mean, slopes = ffi.new "double[20]", {}, {}
      local sum, slope = kernel.gradient(X, y, one, anchor, anchor[p], 1, gradient)
      for i = 0, 82 do slopes[i] = slope[i] end
      gradient[p] = sum
      for j = 0, p do
        mean[j] = gradient[j] / 83
        gradient[j] = mean[j]
      end
      for k = 0, 82 do -- every coordinate, every time
        local i = list[k]
        local change = one:derivative(X:dot(i, w) + w[p], y[i]) - slopes[i]
        local index, value, n = X:row(i)
        for e = 0, n - 1 do w[index[e]] = w[index[e]] - 0.05 * change * value[e] end
        for j = 0, p - 1 do w[j] = (w[j] - 0.05 * mean[j]) / (1 + 0.05 * l2) end
        w[p] = w[p] - 0.05 * (change + mean[p])
      end
      local descent = kernel.new(X, y, one, rule)
      descent:begin(anchor)
      descent:anchor(slope, gradient)
      assert.is_true(descent:variance_reduced_steps(order, 0, 83))
      for j = 0, p do assert.near(w[j], descent:current()[j], 1e-12) end
    end
  end)

  it("splits the penalty over the rows that have a column, and takes AdaGrad's steps", function()
    for _, adagrad in ipairs { false, true } do
      local rule, p, one = rule_of { l1 = 0.01, l2 = 0.04, intercept = true }, 19, loss.logistic()
      local w, squares, share = start(p), {}, {}
      for j = 0, p do squares[j], share[j] = 0, 0 end
      for i = 0, 82 do
        local index, _, n = X:row(i)
        for e = 0, n - 1 do share[index[e]] = share[index[e]] + 1 end
      end
      local memory = { weight = as_array(w, p), share = ffi.new "double[20]",
        squares = adagrad and ffi.new "double[20]" or nil }
      kernel.shares(X, memory.share)
      for j = 0, p - 1 do assert.equal(share[j] > 0 and 83 / share[j] or 0, memory.share[j]) end
      for k = 0, 82 do
        local i = list[k]
        local slope = one:derivative(X:dot(i, w) + w[p], y[i])
        local function step(j, x, l1, l2)
          squares[j] = squares[j] + (slope * x) ^ 2
          local eta = adagrad and 0.1 / math.sqrt(1 + squares[j]) or 0.1
          w[j] = soft(w[j] - eta * slope * x, eta * l1) / (1 + eta * l2)
        end
        local index, value, n = X:row(i)
        for e = 0, n - 1 do
          local times = 83 / share[index[e]]
          step(index[e], value[e], 0.01 * times, 0.04 * times)
        end
        step(p, 1, 0, 0)
      end
      assert.is_true(kernel.shared(X, y, one, rule, memory):steps(order, 0, 83))
      for j = 0, p do assert.near(w[j], memory.weight[j], 1e-12) end
    end
  end)

  it("loses no change of other threads where that is asked for", function()
    local n, times = 2000, 500 -- long enough that threads meet
    local ones, labels = epact.data.new("dense", n, 1), epact.data.new("dense", n, 1)
    for i = 0, n - 1 do ones.value[i], labels.value[i] = 1, 1 end
    -- The hinge loss far from its margin: every update adds exactly one step.
    local sum = epact.run({ workers = 4 }, function(w)
      local weight = w:shared("weights", 2)
      local rule = { step = 2 ^ -24, decay = 0, power = 0, l1 = 0, l2 = 0, low = -inf, high = inf, batch = 1 }
      local descent = kernel.shared(ones, labels, loss.hinge(), rule, { weight = weight, share = ffi.new "double[2]",
        exact = true })
      w:barrier()
      for _ = 1, times do assert(descent:steps(nil, 0, n)) end
      w:barrier()
      return weight[0]
    end)
    assert.equal(4 * n * times * 2 ^ -24, sum)
  end)

  it("refuses what makes no sense, and says where it diverged", function()
    local function refused(pattern, given, first, last, positions)
      assert.error_matches(function()
        kernel.new(X, y, loss.logistic(), rule_of(given)):steps(positions or order, first or 0, last or 1)
      end, pattern)
    end
    refused("the step must be positive, got 0", { step = 0 })
    refused("l1 and l2 must not be negative", { l2 = -1 })
    refused("no weight is within 1 .. %-1", { low = 1, high = -1 })
    refused("penalties pull weights to 0, which is not within 1 .. 2", { low = 1, high = 2, l2 = 1 })
    refused("a batch has 1 to 1024 rows, got 1025", { batch = 1025 })
    refused("are not a range", {}, 5, 4)
    refused("position 0 of the order names row 83 of 83 rows", {}, 0, 1, ffi.new("uint32_t[1]", 83))
    local descent = kernel.new(X, y, loss.squared(), rule_of { step = 1e200 })
    descent:begin(as_array(start(19), 19))
    assert.is_false(descent:steps(order, 0, 83) and descent:steps(order, 0, 83))
    assert.matches("the prediction of row %d+ is not finite", ffi.string(core.C.epact_error_message()))
  end)

  it("refuses bad rows and labels by their place", function()
    local bad, labels = rows.random(10, 6, 0.5, "signs", 1)
    local function refused(pattern, signs)
      assert.error_matches(function() kernel.check("spec", bad, labels, signs) end, pattern)
    end
    kernel.check("spec", bad, labels, true)
    labels.value[3] = 0
    kernel.check("spec", bad, labels, false)
    refused("y: row 3: the label must be %-1 or 1, got 0", true)
    labels.value[3] = 0 / 0
    refused("y: row 3: the label is not finite", false)
    labels.value[3] = 1
    bad.value[bad.start[4]] = inf
    refused("X: row 4, column %d: the value is not finite", true)
    bad.value[bad.start[4]] = 1
    bad.index[bad.start[5]] = 6
    refused("X: row 5: column 6 is not below 6", true)
    local dense = rows.dense(X)
    dense.value[19 * 2 + 3] = 0 / 0
    assert.error_matches(function() kernel.check("spec", dense, y, true) end, "X: row 2, column 3: the value is not")
  end)
end)
