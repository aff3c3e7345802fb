--- Policies: what they draw, how often, and what they refuse.
local epact = require "epact"
local rng = require "epact.rng"
local sched = epact.sched

-- Sum over the cells of (seen - expected)^2 / expected.
local function chi_square(seen, expected, draws)
  local sum, total = 0, 0
  for _, p in pairs(expected) do total = total + p end
  for cell, p in pairs(expected) do
    local mean = draws * p / total
    sum = sum + ((seen[cell] or 0) - mean) ^ 2 / mean
  end
  return sum
end

-- The 0.999 quantiles of chi-square by degrees of freedom: a right sampler fails one of a thousand seeds.
local quantile = { [5] = 20.52, [9] = 27.88, [44] = 78.75 }

local function batches(policy, count, k)
  local list = {}
  for i = 1, count do list[i] = policy:next(k) end
  return list
end

-- A policy by priorities that was told the step of each variable.
local function told(variables, steps, more)
  local o = { variables = variables }
  for name, value in pairs(more) do o[name] = value end
  local policy = sched.priority(o)
  local vars = {}
  for j = 0, variables - 1 do vars[j + 1] = j end
  policy:feed(vars, steps)
  return policy
end

describe("cyclic", function()
  it("takes one after another, and begins again", function()
    local policy = sched.cyclic { variables = 5, first = 3 }
    assert.same({ { 3, 4 }, { 0, 1 }, { 2, 3 } }, batches(policy, 3, 2))
    assert.equal("epact.sched.cyclic <5 variables, next 4>", tostring(policy))
    assert.same({ 4, 0, 1, 2, 3 }, policy:next(9))
    policy:feed({ 0 }, { 1 })
    local state = policy:state()
    assert.same(policy:next(3), sched.cyclic({ variables = 5 }):restore(state):next(3))
  end)
end)

describe("static", function()
  it("replays the user's batches, a long one in pieces", function()
    local policy = sched.static { order = { { 0, 2, 4 }, { 1, 3 } } }
    assert.same({ { 0, 2, 4 }, { 1, 3 }, { 0, 2, 4 } }, batches(policy, 3, 64))
    assert.same({ { 1, 3 }, { 0, 2 }, { 4 }, { 1, 3 } }, batches(policy, 4, 2))
    assert.equal(5, policy.variables)
    policy:next(1)
    local state = policy:state()
    assert.same(policy:next(1), sched.static({ order = { { 0, 2, 4 }, { 1, 3 } } }):restore(state):next(1))
    policy:feed()
  end)

  it("says which batch is wrong", function()
    local function refused(order, message)
      assert.error_matches(function() sched.static { order = order, variables = 5 } end, message)
    end
    refused({ { 0 }, { 1, 2, 1 } }, "batch 2 of the order: variable 1 twice")
    refused({ { 0 }, { 7 } }, "batch 2 of the order: 7 is no variable of 0 .. 4")
    refused({ { 0.5 } }, "batch 1 of the order: 0.5 is no variable")
    refused({ { 0 }, {} }, "batch 2 of the order must be a list of variables, got an empty one")
    refused({ { 0 }, 3 }, "batch 2 of the order must be a list of variables, got 3")
    refused({}, "the order has no batch")
  end)
end)

describe("random", function()
  it("takes every pair of ten variables about equally often, and none twice in a batch", function()
    local policy, seen, expected = sched.random { variables = 10, seed = 4 }, {}, {}
    for a = 0, 8 do
      for b = a + 1, 9 do expected[a * 10 + b] = 1 end
    end
    for _ = 1, 9000 do
      local vars = policy:next(2)
      assert.are_not.equal(vars[1], vars[2])
      local pair = math.min(vars[1], vars[2]) * 10 + math.max(vars[1], vars[2])
      seen[pair] = (seen[pair] or 0) + 1
    end
    assert.is_true(chi_square(seen, expected, 9000) < quantile[44])
    expected[12] = 2 -- the test can fail
    assert.is_true(chi_square(seen, expected, 9000) > quantile[44])
  end)

  it("takes all of few, and a few of four thousand million", function()
    local vars = sched.random({ variables = 100, seed = 1 }):next(1000)
    table.sort(vars)
    assert.equal(100, #vars)
    for i = 1, 100 do assert.equal(i - 1, vars[i]) end
    local policy, mean = sched.random { variables = 2 ^ 32 - 1, seed = 1 }, 0
    for _, j in ipairs(policy:next(5000)) do mean = mean + j / 5000 end
    assert.is_true(math.abs(mean / 2 ^ 31 - 1) < 0.04) -- 5 deviations: 5 / sqrt(12 * 5000) of the range
  end)

  it("goes on where its state was kept", function()
    local policy = sched.random { variables = 50, seed = 3, stream = 2 }
    batches(policy, 5, 7)
    local state = policy:state()
    local other = sched.random { variables = 50, seed = 9 }
    assert.are_not.same(batches(policy, 5, 7), batches(other, 5, 7))
    assert.same(batches(policy:restore(state), 5, 7), batches(other:restore(state), 5, 7))
    assert.equal("epact.sched.random <50 variables>", tostring(policy))
    policy:feed()
  end)
end)

describe("priority", function()
  -- Whole steps, whose sums are exact in any order: draw by draw the variable must be the one that a walk along a
  -- plain array finds.
  it("draws as a walk along the prefix sums does", function()
    for _, variables in ipairs { 1, 2, 7, 8, 9, 63, 64, 65, 600, 4097 } do
      local stream, weight = rng(variables), {}
      for j = 0, variables - 1 do weight[j] = 1 + stream:below(20) end
      local policy = told(variables, { weight[0], unpack(weight) }, { eta = 0, seed = 8 })
      local twin = rng(8)
      for step = 1, 400 do
        local total = 0
        for j = 0, variables - 1 do total = total + weight[j] end
        assert.equal(total, policy:total())
        local at, expected = twin:uniform() * total, 0
        while at >= weight[expected] do at, expected = at - weight[expected], expected + 1 end
        local drawn = policy:next(1)[1]
        assert.equal(expected, drawn)
        assert.equal(weight[drawn], policy:weight(drawn))
        local changed = stream:below(variables)
        weight[changed] = (step % 3 == 0 and variables > 1 and weight[(changed + 1) % variables] > 0) and 0
          or 1 + stream:below(9)
        policy:feed({ changed }, { -weight[changed] })
      end
    end
  end)

  it("draws in proportion to |delta|^power + eta", function()
    local delta = { 0, 1, -2, 3, 0.5, -1.5, 4, 2.5, 0, 1 }
    for power = 1, 2 do
      local policy, seen, expected = told(10, delta, { eta = 0.25, power = power, seed = 11 }), {}, {}
      for j = 0, 9 do expected[j] = math.abs(delta[j + 1]) ^ power + 0.25 end
      for _ = 1, 40000 do
        local j = policy:next(1)[1]
        seen[j] = (seen[j] or 0) + 1
      end
      assert.is_true(chi_square(seen, expected, 40000) < quantile[9])
      expected[3] = 1.15 * expected[3] -- the test can fail
      assert.is_true(chi_square(seen, expected, 40000) > quantile[9])
    end
  end)

  it("draws a batch without replacement", function()
    local weight, eta = { 8, 4, 1, 0 }, 0.5
    local policy, seen, expected = told(4, weight, { eta = eta, seed = 2 }), {}, {}
    local total = 8 + 4 + 1 + 4 * eta
    for a = 1, 4 do
      for b = 1, 4 do
        if a ~= b then -- first a, then b among those left
          local pair = math.min(a, b) * 4 + math.max(a, b)
          expected[pair] = (expected[pair] or 0)
            + (weight[a] + eta) / total * (weight[b] + eta) / (total - weight[a] - eta)
        end
      end
    end
    for _ = 1, 30000 do
      local vars = policy:next(2)
      local a, b = vars[1] + 1, vars[2] + 1
      assert.is_true(a < b) -- by weight
      seen[a * 4 + b] = (seen[a * 4 + b] or 0) + 1
    end
    assert.is_true(chi_square(seen, expected, 30000) < quantile[5])
    expected[4 + 2] = 1.15 * expected[4 + 2] -- the test can fail
    assert.is_true(chi_square(seen, expected, 30000) > quantile[5])
  end)

  it("keeps its sums where weights of all sizes come and go", function()
    local policy = told(5, { 1e150, 1e60, 1, 1e-30, 0 }, { eta = 0, seed = 1 })
    for _ = 1, 50 do assert.same({ 0, 1, 2, 3, 4 }, policy:next(5)) end
    policy:feed({ 0, 1 }, { 0, 0 })
    assert.equal(1 + 1e-30, policy:total())
    policy:feed({ 2 }, { 0 })
    assert.equal(1e-30, policy:total()) -- differences would have left 0
    for _ = 1, 50 do assert.same({ 3 }, policy:next(1)) end
  end)

  it("takes every variable once before it follows priorities", function()
    local policy, seen, found = sched.priority { variables = 100, seed = 6 }, {}, 0
    while policy:fresh() > 0 do
      local vars, deltas = policy:next(8), {}
      for i, j in ipairs(vars) do
        deltas[i] = j == 42 and -2 or 0
        if not seen[j] then seen[j], found = true, found + 1 end
      end
      assert.equal(math.min(100, found), 100 - policy:fresh() + math.min(8, policy:fresh()))
      policy:feed(vars, deltas)
    end
    assert.equal(100, found)
    -- 0.01 of the largest step, where that is less than half of the draws
    assert.equal(0.02, policy:floor())
    assert.equal("epact.sched.priority <100 variables, 0 fresh, eta 0.02>", tostring(policy))
    policy:feed({ 42, 7 }, { 1e-3, 0 }) -- eta falls with the steps: half of the draws
    assert.is_true(math.abs(policy:floor() / 1e-5 - 1) < 1e-12)
    local often = 0
    for _ = 1, 4000 do often = often + (policy:next(1)[1] == 42 and 1 or 0) end
    assert.is_true(math.abs(often / 4000 - 0.505) < 0.03)
    policy:feed({ 42 }, { 0 }) -- nothing moves: uniform
    assert.equal(0, policy:floor())
    assert.equal(100, #policy:next(200))
  end)

  it("takes nine bytes for a variable", function()
    assert.equal(64, sched.priority({ variables = 1 }):bytes())
    assert.equal(8 * (1000 + 128 + 16 + 8), sched.priority({ variables = 1000 }):bytes()) -- a number for eight below
    assert.is_true(sched.priority({ variables = 1e6 }):bytes() < 9.2e6)
  end)

  it("goes on where its state was kept", function()
    local delta = {}
    for j = 1, 300 do delta[j] = math.sin(j) end
    local policy, other = told(300, delta, { seed = 5 }), sched.priority { variables = 300, seed = 77 }
    batches(policy, 3, 20)
    local state = policy:state()
    assert.same(batches(policy, 3, 20), batches(other:restore(state), 3, 20))
    assert.equal(tostring(policy), tostring(other))
    policy:feed({ 1, 2 }, { 5, 6 })
    assert.are_not.same(batches(policy, 3, 20), batches(other, 3, 20))
    local begun = sched.priority { variables = 4 }
    begun:feed({ 2 }, { 3 })
    assert.equal(3, sched.priority({ variables = 4 }):restore(begun:state()):fresh())
  end)

  it("says what is wrong, and then has changed nothing", function()
    local policy = told(4, { 1, 2, 3, 4 }, { eta = 0 })
    local function refused(message, f, ...)
      local given = { ... }
      assert.error_matches(function() f(unpack(given)) end, message)
    end
    refused("variable 4 is not below 4 %[E_RANGE%]", policy.feed, policy, { 0, 4 }, { 9, 9 })
    refused("the step of variable 1 is .*nan.*NONFINITE", policy.feed, policy, { 0, 1 }, { 9, 0 / 0 })
    refused("the step of variable 1 is nil, not a number", policy.feed, policy, { 0, 1 }, { 9 })
    refused("variable 2 of the list is %-1, which is none", policy.feed, policy, { 0, -1 }, { 9, 9 })
    refused("priority:feed: expected a list of variables", policy.feed, policy, 3)
    assert.equal(10, policy:total())
    refused("the number of variables must be an integer >= 1, got 0", policy.next, policy, 0)
    refused("the number of variables must be an integer >= 1, got nil", policy.next, policy)
    refused("j must be below 4, got 4", policy.weight, policy, 4)
    refused("the state must be one of 4 variables", policy.restore, policy, { variables = 5 })
    refused("the weights are not those of 4", policy.restore, policy, { variables = 4, weights = "" })
    local state = policy:state()
    state.weights = state.weights:sub(1, 24) .. "\255\255\255\255\255\255\255\255"
    refused("the weight of variable 3 is .*nan %[E_CORRUPT%]", policy.restore, policy, state)
    state.weights, state.largest = policy:state().weights, -1
    refused("the largest weight is %-1 %[E_CORRUPT%]", policy.restore, policy, state)
    assert.equal(10, policy:total())
    refused("state.at must be below 2, got 2", sched.cyclic({ variables = 2 }).restore, sched.cyclic { variables = 2 },
      { variables = 2, at = 2 })
    refused("there is no variable 1 in batch 1", sched.static({ order = { { 0 } } }).restore,
      sched.static { order = { { 0 } } }, { batches = 1, at = 1, given = 1 })
    refused("option 'variables' must be an integer >= 1", sched.priority, { variables = 0 })
    refused("1 .. 2^32 %- 1 variables can be drawn", sched.priority, { variables = 2 ^ 33 })
    refused("did you mean 'eta'", sched.priority, { variables = 1, etta = 1 })
    refused("'power' must be a positive number", sched.priority, { variables = 1, power = 0 })
    refused("option 'variables' is required", sched.random, {})
    refused("'first' must be below 2 variables", sched.cyclic, { variables = 2, first = 2 })
    for _, other in ipairs { sched.cyclic { variables = 2 }, sched.random { variables = 2 },
      sched.static { order = { { 0 } } } } do
      refused("the state must be one of", other.restore, other, {})
    end
  end)
end)
