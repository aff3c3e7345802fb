--- Networks, the kernel: gradients are those of the loss, dropout is fair, rules are the textbook's.
local ffi = require "ffi"
local core = require "epact.core"
local network = require "epact.kernel.network"
local rng = require "epact.rng"
local C = core.C

local function make(o)
  return network.new { units = o.units, activation = o.activation or "tanh", loss = o.loss or "softmax",
    dropout = o.dropout or 0, seed = o.seed or 1, type = o.type or "f64", batch = o.batch or 16 }
end

--- Fills a network's batch with random rows, the same for both types.
local function fill(net, rows, seed)
  local stream, inputs = rng(seed or 3), net.units[1]
  for i = 0, rows * inputs - 1 do net.input[i] = ffi.cast("float", stream:normal()) end
  for i = 0, rows * net.targets - 1 do
    net.target[i] = net.model.loss == C.EPACT_NETWORK_SOFTMAX and stream:below(net.units[#net.units])
      or ffi.cast("float", stream:normal())
  end
  for i = 0, rows - 1 do net.id[i] = 100 + 7 * i end
end

--- Weights with biases that are not 0.
local function weights_of(net, seed)
  local weights, stream = net:drawn(seed or 5), rng(9)
  for l = 1, net.layers do
    for i = 0, net:size(l) - 1 do weights[l][i] = ffi.cast("float", weights[l][i] + 0.1 * stream:normal()) end
  end
  return weights
end

local function penalty(net, weights, l2) return l2 / 2 * net:squares(weights) end

describe("network kernel", function()
  for _, activation in ipairs { "relu", "tanh", "sigmoid" } do
    for _, loss in ipairs { "softmax", "squared" } do
      for _, dropout in ipairs { 0, 0.4 } do
        it(("has the gradient of its loss: %s, %s, dropout %g"):format(activation, loss, dropout), function()
          local net = make { units = { 3, 5, 4, 3 }, activation = activation, loss = loss, dropout = dropout }
          local weights, scale, l2, h = weights_of(net), 0.25, 0.3, 1e-6
          fill(net, 6)
          assert(net:gradient(weights, 6, 2, scale, l2))
          local gradient = {}
          for l = 1, 3 do
            gradient[l] = {}
            for i = 0, net:size(l) - 1 do gradient[l][i] = net.gradient_of[l][i] end
          end
          local function value() return scale * net:gradient(weights, 6, 2, scale, l2) + penalty(net, weights, l2) end
          for l = 1, 3 do
            local largest = 0
            for i = 0, net:size(l) - 1 do
              local kept = weights[l][i]
              weights[l][i] = kept + h
              local up = value()
              weights[l][i] = kept - h
              local down = value()
              weights[l][i] = kept
              assert.near((up - down) / (2 * h), gradient[l][i], 1e-7)
              largest = math.max(largest, math.abs(gradient[l][i]))
            end
            assert.is_true(largest > 0.01)
          end
        end)
      end

      it(("is the same in float as in double, to rounding: %s, %s"):format(activation, loss), function()
        local o = { units = { 7, 33, 20, 11 }, activation = activation, loss = loss, dropout = 0.25 }
        local double = make(o)
        o.type = "f32"
        local single = make(o)
        fill(double, 13)
        fill(single, 13)
        local w64, w32 = weights_of(double), weights_of(single)
        assert.near(double:gradient(w64, 13, 4, 1 / 13, 0.01), single:gradient(w32, 13, 4, 1 / 13, 0.01), 1e-4)
        for l = 1, 3 do
          for i = 0, double:size(l) - 1 do
            assert.near(double.gradient_of[l][i], single.gradient_of[l][i], 3e-6)
          end
        end
      end)
    end
  end

  it("has activations and probabilities good to the last digits of a float, and no overflow", function()
    for _, activation in ipairs { "tanh", "sigmoid" } do
      local o = { units = { 1, 1, 2 }, activation = activation, type = "f64", batch = 1 }
      local double = make(o)
      o.type = "f32"
      local single = make(o)
      local w64 = { double:rows(1, 2), double:rows(2, 2) }
      local w32 = { single:rows(1, 2), single:rows(2, 2) }
      w64[1][0], w32[1][0], w64[2][0], w32[2][0] = 1, 1, 1, 1
      for step = -4000, 4000 do
        local x = step / 512 * math.abs(step) / 32 -- from -977 to 977, dense around 0
        double.input[0], single.input[0] = ffi.cast("float", x), x
        -- The probability of the first of two classes: 1 / (1 + exp(-act(x))).
        local exact, close = double:forward(w64, 1)[0], single:forward(w32, 1)[0]
        assert.near(1, close / exact, 3e-7)
        local a, b = math.log(exact / (1 - exact)), math.log(close / (1 - close))
        assert.near(a, b, 1e-6)
        assert.near(activation == "tanh" and math.tanh(x) or 1 / (1 + math.exp(-x)), a, 1e-6)
      end
      w64[2][0], w32[2][0] = 3000, 3000
      single.input[0] = -5
      local p = single:forward(w32, 1)
      assert.near(1, p[0] + p[1], 1e-6)
      assert.near(activation == "tanh" and 1 or 0, p[1], 1e-6)
    end
  end)

  it("has probabilities that do not overflow, wherever the largest sum is", function()
    for _, kind in ipairs { "f64", "f32" } do
      local net = make { units = { 1, 20 }, type = kind, batch = 1 }
      local weights = { net:rows(1, 2) }
      for large = 0, 19 do
        for k = 0, 19 do weights[1][20 + k] = k == large and 5000 or (k == (large + 3) % 20 and 4999 or -k) end
        net.target[0] = (large + 3) % 20
        local p = net:forward(weights, 1)
        for k = 0, 19 do
          local exact = k == large and 1 / (1 + math.exp(-1)) or (k == net.target[0] and 1 / (1 + math.exp(1)) or 0)
          assert.near(exact, p[k], 1e-6)
        end
        assert.near(math.log(1 + math.exp(1)), net:evaluate(weights, 1), 1e-3)
      end
    end
  end)

  it("drops units with the probability asked for, and keeps the expectation", function()
    -- A squared loss of one row: the output layer's gradient over its bias's is what the hidden units gave.
    local units, rows, p = 70, 400, 0.3
    local net = make { units = { 2, units, 1 }, activation = "sigmoid", loss = "squared", dropout = p, batch = 1 }
    local plain = make { units = { 2, units, 1 }, activation = "sigmoid", loss = "squared", batch = 1 }
    local weights = weights_of(net)
    net.input[0], net.input[1], net.target[0] = 0.5, -1, 40
    plain.input[0], plain.input[1], plain.target[0] = 0.5, -1, 40
    plain:gradient(weights, 1, 0, 1, 0)
    local function given(of, j) return of.gradient_of[2][j] / of.gradient_of[2][units] end
    local function hidden(id, step)
      net.id[0] = id
      net:gradient(weights, 1, step, 1, 0)
      local list = {}
      for j = 0, units - 1 do list[j] = given(net, j) end
      return list
    end
    local dropped, ratio = 0, 0
    for id = 0, rows - 1 do
      local now = hidden(id, 3)
      for j = 0, units - 1 do
        if now[j] == 0 then dropped = dropped + 1 else assert.near(1 / (1 - p), now[j] / given(plain, j), 1e-4) end
        ratio = ratio + now[j] / given(plain, j)
      end
    end
    local n = units * rows
    assert.near(p, dropped / n, 4 * math.sqrt(p * (1 - p) / n)) -- four standard errors
    assert.near(1, ratio / n, 4 * math.sqrt(p / (1 - p) / n))
    local function differences(a, b)
      local count = 0
      for j = 0, units - 1 do count = count + ((a[j] == 0) ~= (b[j] == 0) and 1 or 0) end
      return count
    end
    assert.equal(0, differences(hidden(5, 3), hidden(5, 3)))
    assert.is_true(differences(hidden(5, 3), hidden(6, 3)) > 10)
    assert.is_true(differences(hidden(5, 3), hidden(5, 4)) > 10)
  end)

  it("adds up: the gradients of a batch's parts are the gradient of the batch", function()
    local net = make { units = { 4, 9, 6, 3 }, dropout = 0.5 }
    local weights, whole = weights_of(net), {}
    fill(net, 15)
    local loss = net:gradient(weights, 15, 1, 1 / 15, 0)
    for l = 1, 3 do
      whole[l] = {}
      for i = 0, net:size(l) - 1 do whole[l][i] = net.gradient_of[l][i] end
    end
    local input, target, id = ffi.new("double[?]", 60), ffi.new("double[?]", 15), ffi.new("uint32_t[?]", 15)
    ffi.copy(input, net.input, 480); ffi.copy(target, net.target, 120); ffi.copy(id, net.id, 60)
    for _, part in ipairs { { 0, 4 }, { 4, 11 }, { 11, 11 }, { 11, 15 } } do
      local first, count = part[1], part[2] - part[1]
      ffi.copy(net.input, input + 4 * first, 32 * count)
      ffi.copy(net.target, target + first, 8 * count)
      ffi.copy(net.id, id + first, 4 * count)
      loss = loss - net:gradient(weights, count, 1, 1 / 15, 0)
      for l = 1, 3 do
        for i = 0, net:size(l) - 1 do whole[l][i] = whole[l][i] - net.gradient_of[l][i] end
      end
    end
    assert.near(0, loss, 1e-12)
    for l = 1, 3 do
      for i = 0, net:size(l) - 1 do assert.near(0, whole[l][i], 1e-14) end
    end
  end)

  it("knows closed forms: uniform probabilities, counted labels, half squares", function()
    local net = make { units = { 2, 3, 4 } }
    local zero = { net:rows(1, 3), net:rows(2, 4) }
    fill(net, 8)
    for i = 0, 7 do net.target[i] = i % 4 end
    local loss, correct = net:evaluate(zero, 8)
    assert.near(8 * math.log(4), loss, 1e-12)
    assert.equal(2, correct) -- all classes tie: the first counts
    local p = net:forward(zero, 8)
    for i = 0, 31 do assert.near(0.25, p[i], 1e-15) end
    zero[2][3 * 4 + 2] = 9 -- the third class's bias
    loss, correct = net:evaluate(zero, 8)
    assert.near(8 * math.log(math.exp(9) + 3) - 18, loss, 1e-10)
    assert.equal(2, correct)

    net = make { units = { 1, 2 }, loss = "squared" }
    local line = { net:rows(1, 2) }
    line[1][0], line[1][1], line[1][2], line[1][3] = 2, 3, 0.5, -1
    net.input[0], net.target[0], net.target[1] = 4, 1, 2
    assert.near(((8.5 - 1) ^ 2 + (11 - 2) ^ 2) / 2, (net:evaluate(line, 1)), 1e-12)
    assert.equal(11, net:forward(line, 1)[1])
  end)

  it("draws the same weights however rows are divided, of the right spread", function()
    for _, case in ipairs { { "relu", 2 }, { "tanh", 1 } } do
      local net = make { units = { 50, 40, 30 }, activation = case[1], type = "f32" }
      local whole, part, sum = net:drawn(4), net:rows(1, 20), 0
      net:draw(1, 31, 51, 4, part)
      for i = 0, 20 * 40 - 1 do assert.equal(whole[1][31 * 40 + i], part[i]) end
      for i = 0, 50 * 40 - 1 do sum = sum + whole[1][i] ^ 2 end
      assert.near(case[2] / 50, sum / 2000, 4 * case[2] / 50 * math.sqrt(2 / 2000))
      for j = 0, 39 do assert.equal(0, whole[1][50 * 40 + j]) end
      sum = 0
      for i = 0, 40 * 30 - 1 do sum = sum + whole[2][i] ^ 2 end
      assert.near(1 / 40, sum / 1200, 4 / 40 * math.sqrt(2 / 1200)) -- the output layer has no ReLUs
    end
  end)

  it("makes the steps of Adam and AdaGrad", function()
    for _, kind in ipairs { "f64", "f32" } do
      local real, close = kind == "f64" and "double[?]" or "float[?]", kind == "f64" and 1e-12 or 1e-6
      local stream, n = rng(1), 21
      local gradient, change = ffi.new(real, n), ffi.new(real, n)
      local adam = network.rule("adam", n, { type = kind, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-3 })
      local adagrad = network.rule("adagrad", n, { type = kind, epsilon = 0.5 })
      local m, v, sum = {}, {}, {}
      for j = 0, n - 1 do m[j], v[j], sum[j] = 0, 0, 0 end
      for t = 1, 5 do
        for j = 0, n - 1 do gradient[j] = j == 3 and 0 or stream:normal() end
        adam:begin()
        adam:change(0, n, gradient, 0.1, change)
        for j = 0, n - 1 do
          local g = gradient[j]
          m[j], v[j] = 0.9 * m[j] + 0.1 * g, 0.99 * v[j] + 0.01 * g * g
          assert.near(-0.1 * (m[j] / (1 - 0.9 ^ t)) / (math.sqrt(v[j] / (1 - 0.99 ^ t)) + 1e-3), change[j], close)
        end
        adagrad:begin()
        adagrad:change(0, 5, gradient, 0.1, change)
        adagrad:change(5, n - 5, gradient + 5, 0.1, change + 5)
        for j = 0, n - 1 do
          local g = gradient[j]
          sum[j] = sum[j] + g * g
          assert.near(-0.1 * g / math.sqrt(0.5 + sum[j]), change[j], close)
        end
      end
      assert.equal(0, change[3])
    end
  end)

  it("says when the loss is not finite, and what is no network", function()
    local net = make { units = { 2, 3, 2 } }
    fill(net, 4)
    local weights = weights_of(net)
    weights[1][2] = 0 / 0
    assert.is_nil(net:gradient(weights, 4, 0, 1, 0))
    assert.error_matches(function() make { units = { 2, 0, 2 } } end, "layer 1 has 0 units")
    assert.error_matches(function() make { units = { 2 } } end, "at least one layer")
    assert.error_matches(function() make { units = { 2, 2 }, dropout = 1 } end, "dropout must be in")
  end)
end)
