--- AdaGrad, AdaRevision and Adam: steps by hand, equalities, and what the theorems promise.
local ffi = require "ffi"
local adaptive = require "epact.kernel.adaptive"
local rng = require "epact.rng"

local function array(list, type) return ffi.new((type or "double") .. "[?]", #list, list) end

describe("AdaGrad", function()
  it("makes the steps of the definition", function()
    local x, rule = array { 1, -2 }, adaptive.adagrad(2, { step = 0.5, start = 0 })
    rule:step(array { 3, -4 }, x) -- from z = 0 the first step is `step` long
    assert.equal(0.5, x[0])
    assert.equal(-1.5, x[1])
    rule:step(array { 4, 3 }, x) -- z = 25
    assert.near(0.5 - 0.5 * 4 / 5, x[0], 1e-15)
    assert.near(-1.5 - 0.5 * 3 / 5, x[1], 1e-15)
  end)

  it("leaves a coordinate without a gradient alone", function()
    local x, rule = array { 7, 7 }, adaptive.adagrad(2, { step = 1, start = 0, l1 = 1 })
    rule:step(array { 0, 1 }, x)
    assert.equal(7, x[0])
    assert.equal(5, x[1])
  end)

  it("minimises the model with the penalty", function()
    local stream = rng(3)
    for _ = 1, 200 do
      local l1, l2, x0, g = stream:uniform(), stream:uniform(), stream:normal(), stream:normal()
      local x, rule = array { x0 }, adaptive.adagrad(1, { step = 0.7, l1 = l1, l2 = l2 })
      rule:step(array { g }, x)
      local eta = 0.7 / math.sqrt(1 + g * g)
      local function model(at) return g * at + l1 * math.abs(at) + l2 / 2 * at ^ 2 + (at - x0) ^ 2 / (2 * eta) end
      for _, away in ipairs { -0.1, -1e-4, 1e-4, 0.1 } do assert.is_true(model(x[0]) < model(x[0] + away)) end
    end
  end)

  it("has exact zeros under l1", function()
    local x, rule = array { 0.1, 3 }, adaptive.adagrad(2, { step = 1, l1 = 0.5 })
    rule:step(array { 0, 0 }, x)
    assert.equal(0, x[0])
    assert.equal(2.5, x[1])
  end)

  it("does the same by named coordinates", function()
    local stream, whole, part = rng(5), array { 0, 0, 0, 0 }, array { 0, 0, 0, 0 }
    local a = adaptive.adagrad(4, { step = 0.3, l1 = 0.01, l2 = 0.1 })
    local b = adaptive.adagrad(4, { step = 0.3, l1 = 0.01, l2 = 0.1 })
    for _ = 1, 20 do
      local g, h = stream:normal(), stream:normal()
      local untouched = { whole[0], whole[2], a.z[0], a.z[2] }
      a:step(array { 0, g, 0, h }, whole)
      whole[0], whole[2], a.z[0], a.z[2] = unpack(untouched)
      b:step_sparse(2, array({ 3, 1 }, "uint32_t"), array { h, g }, part)
    end
    for j = 0, 3 do assert.equal(whole[j], part[j]) end
    assert.is_true(part[1] ~= 0 and part[3] ~= 0)
  end)

  -- f_t(x) = |a_t'x - b_t|, features on unequal scales and often 0, each step cut to the box [-2, 2]^p: for any x*,
  -- sum f_t(x_t) - f_t(x*) is at most sqrt(2) D sum_j ||g_(1..T, j)||, step = D / sqrt(2), D >= |x_(t, j) - x*_j|.
  it("keeps the bound of its regret", function()
    local stream, p, T, D = rng(11), 10, 3000, 3
    local x, truth, g, squares = ffi.new("double[?]", p), {}, ffi.new("double[?]", p), {}
    for j = 0, p - 1 do truth[j], squares[j] = 2 * stream:uniform() - 1, 0 end
    local rule, regret, farthest = adaptive.adagrad(p, { step = D / math.sqrt(2), start = 0 }), 0, 0
    for _ = 1, T do
      local a, target, predicted = {}, 0.1 * stream:normal(), 0
      for j = 0, p - 1 do
        a[j] = stream:below(j + 1) == 0 and stream:normal() * 2 ^ -j or 0
        target, predicted = target + a[j] * truth[j], predicted + a[j] * x[j]
        farthest = math.max(farthest, math.abs(x[j] - truth[j]))
      end
      local best = 0
      for j = 0, p - 1 do best = best + a[j] * truth[j] end
      regret = regret + math.abs(predicted - target) - math.abs(best - target)
      for j = 0, p - 1 do
        g[j] = predicted > target and a[j] or -a[j]
        squares[j] = squares[j] + g[j] ^ 2
      end
      rule:step(g, x)
      for j = 0, p - 1 do x[j] = math.max(-2, math.min(2, x[j])) end
    end
    local bound = 0
    for j = 0, p - 1 do bound = bound + math.sqrt(2) * D * math.sqrt(squares[j]) end
    assert.is_true(farthest <= D)
    assert.is_true(regret <= bound)
    assert.is_true(regret > 0 and bound < 0.2 * T) -- neither side says nothing
  end)
end)

describe("AdaRevision", function()
  it("makes the steps of the definition", function()
    local x, never, rule = array { 0 }, array { 0 }, adaptive.adarevision(1, { step = 1 })
    rule:step(array { 2 }, never, x) -- z = z' = 5
    assert.near(-2 / math.sqrt(5), x[0], 1e-15)
    rule:step(array { -1 }, never, x) -- b = 2: z = 5 + 1 - 4 = 2, z' = 5
    assert.near(-1 / math.sqrt(5), x[0], 1e-15)
    rule:step(array { 3 }, never, x) -- b = 1: z = z' = 2 + 9 + 6 = 17
    assert.near(-4 / math.sqrt(17), x[0], 1e-15)
  end)

  it("without delay is AdaGrad from 1, to the bit", function()
    local stream, n = rng(7), 50
    local x, y = ffi.new("double[?]", n), ffi.new("double[?]", n)
    local g, read = ffi.new("double[?]", n), ffi.new("double[?]", n)
    local late, plain = adaptive.adarevision(n, { step = 0.3 }), adaptive.adagrad(n, { step = 0.3 })
    for _ = 1, 100 do
      for j = 0, n - 1 do g[j] = stream:normal() + x[j] - j end
      late:read(read)
      late:step(g, read, x)
      plain:step(g, y)
      for j = 0, n - 1 do assert.equal(y[j], x[j]) end
    end
    assert.is_true(x[40] > 5)
  end)

  -- 1/2 (x - 5)^2 from 0, step 5: the gradient that arrives at t was taken at the x of t - 20.
  local function descend(rule, step)
    local x, past, farthest, last = array { 0 }, {}, 0, nil
    for t = 1, 2000 do
      past[t] = { x = x[0], read = array { 0 } }
      if rule.read then rule:read(past[t].read) end
      local old = past[t - 20]
      if old then step(array { old.x - 5 }, old.read, x) end
      farthest, last = math.max(farthest, x[0] - 5), x[0]
    end
    return farthest, last
  end

  it("does not overshoot with late gradients, where AdaGrad does", function()
    local late, plain = adaptive.adarevision(1, { step = 5 }), adaptive.adagrad(1, { step = 5 })
    local farthest, last = descend(late, function(g, read, x) late:step(g, read, x) end)
    assert.is_true(farthest < 0.0013) -- of the 5 to go
    assert.near(5, last, 1e-9)
    farthest = descend(plain, function(g, _, x) plain:step(g, x) end)
    assert.near(33.874320436085, farthest, 1e-9)
  end)
end)

describe("Adam", function()
  it("makes the steps of the definition", function()
    local x, rule = array { 1 }, adaptive.adam(1, { step = 0.1, beta1 = 0.5, beta2 = 0.75, epsilon = 0 })
    rule:step(array { -3 }, x) -- the first step is `step` long, whatever the gradient
    assert.near(1.1, x[0], 1e-15)
    rule:step(array { 1 }, x) -- m = -0.75 + 0.5 = -1/4, over 3/4; v = 27/16 + 1/4 = 31/16, over 7/16
    assert.near(1.1 + 0.1 * (1 / 3) / math.sqrt(31 / 7), x[0], 1e-15)
    rule:step(array { 0 }, x) -- m = -1/8 over 7/8; v = 93/64 over 37/64
    assert.near(1.1 + 0.1 * (1 / 3) / math.sqrt(31 / 7) + 0.1 / 7 / math.sqrt(93 / 37), x[0], 1e-15)
  end)

  it("divides by at least epsilon", function()
    local x, rule = array { 0 }, adaptive.adam(1, { step = 1, epsilon = 3 })
    rule:step(array { 1 }, x)
    assert.near(-1 / 4, x[0], 1e-14)
    rule = adaptive.adam(1, {})
    rule:step(array { 0 }, x)
    assert.near(-1 / 4, x[0], 1e-14)
  end)
end)

describe("Adaptive rules", function()
  it("come for float too", function()
    local stream = rng(9)
    for _, name in ipairs { "adagrad", "adarevision", "adam" } do
      local given = { step = 0.1, type = "f32" }
      local single, double = adaptive[name](3, given), adaptive[name](3, { step = 0.1 })
      local x, y = array({ 1, 2, 3 }, "float"), array { 1, 2, 3 }
      local read = { array({ 0, 0, 0 }, "float"), array { 0, 0, 0 } }
      for _ = 1, 30 do
        local g = { stream:normal(), stream:normal(), 1 }
        if name == "adarevision" then
          single:step(array(g, "float"), read[1], x)
          double:step(array(g), read[2], y)
        else
          single:step(array(g, "float"), x)
          double:step(array(g), y)
        end
      end
      for j = 0, 2 do assert.near(y[j], x[j], 1e-4) end
      assert.is_true(y[2] < 2.95)
      assert.matches("epact." .. name .. " <3 coordinates>", tostring(single))
    end
    local a, b = array({ 1, 1 }, "float"), array({ 1, 1 }, "float")
    adaptive.adagrad(2, { step = 1, type = "f32" }):step(array({ 2, 0 }, "float"), a)
    adaptive.adagrad(2, { step = 1, type = "f32" }):step_sparse(1, array({ 0 }, "uint32_t"), array({ 2 }, "float"), b)
    assert.equal(a[0], b[0])
    assert.equal(1, b[1])
  end)

  it("refuse senseless numbers", function()
    assert.error_matches(function() adaptive.adagrad(2, {}) end, "adaptive.adagrad: option 'step' is required")
    assert.error_matches(function() adaptive.adam(2, { beta = 1 }) end, "unknown option 'beta' %(did you mean 'beta%d'")
    assert.error_matches(function() adaptive.adarevision(-1, { step = 1 }) end, "count must be an integer >= 0")
    assert.error_matches(function() adaptive.adam(1, { beta1 = 1 }):step(array { 1 }, array { 1 }) end,
      "beta2 in %[0, 1%)")
    local rule = adaptive.adagrad(1, { step = 1 })
    rule.rule.l1 = -1
    assert.error_matches(function() rule:step(array { 1 }, array { 1 }) end, "l1 and l2 not negative: got 1, %-1, 0")
    rule = adaptive.adarevision(1, { step = 1 })
    rule.eta = 0
    assert.error_matches(function() rule:step(array { 1 }, array { 0 }, array { 1 }) end, "step must be positive")
    rule = adaptive.adam(1)
    rule.updates = -1
    assert.error_matches(function() rule:step(array { 1 }, array { 1 }) end, "updates count from 1, got 0")
  end)
end)
