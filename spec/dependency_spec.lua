--- The dependency filter: no batch holds two columns that correlate, nor one that correlates with what is in flight.
local epact = require "epact"
local columns = require "epact.kernel.columns"
local data = require "epact.data"
local rng = require "epact.rng"
local sched = epact.sched

-- Rows of numbers as the columns of a data set.
local function columns_of(list, sparse, o)
  local count, rows = #list, #list[1]
  local X, at
  if sparse then
    local entries = 0
    for _, c in ipairs(list) do
      for _, v in ipairs(c) do entries = entries + (v ~= 0 and 1 or 0) end
    end
    X, at = data.new("sparse", count, rows, entries), 0
  else
    X = data.new("dense", count, rows)
  end
  for j, c in ipairs(list) do
    for i, v in ipairs(c) do
      if not sparse then
        X.value[(j - 1) * rows + i - 1] = v
      elseif v ~= 0 then
        X.index[at], X.value[at], at = i - 1, v, at + 1
      end
    end
    if sparse then X.start[j] = at end
  end
  return columns.new("spec", X, o)
end

-- |x_j'x_k| by the definition, of numbers in plain lists.
local function size(a, b, o)
  local n, ma, mb, ab, aa, bb = #a, 0, 0, 0, 0, 0
  if o.intercept then
    for i = 1, n do ma, mb = ma + a[i] / n, mb + b[i] / n end
  end
  for i = 1, n do
    ab, aa, bb = ab + (a[i] - ma) * (b[i] - mb), aa + (a[i] - ma) ^ 2, bb + (b[i] - mb) ^ 2
  end
  return aa > 1e-20 and bb > 1e-20 and math.abs(ab) / (o.raw and 1 or math.sqrt(aa * bb)) or 0
end

-- Groups of columns that share a part; sparse ones, and every ninth dense.
local function correlated(stream, count, rows, density)
  local list = {}
  for j = 1, count do
    local c, like = {}, j % 3 > 0 and list[j - 1]
    for i = 1, rows do
      local dense = j % 9 == 0
      c[i] = (dense or stream:uniform() < density) and 0.3 + stream:normal() or 0
      if like and not dense and stream:uniform() < 0.4 then c[i] = like[i] end
    end
    list[j] = c
  end
  list[#list + 1] = list[1] -- a duplicate
  list[#list + 1] = {} -- a constant column
  for i = 1, rows do list[#list][i] = 0 end
  return list
end

local function sizes_of(list, o)
  local size_of = {}
  for j = 1, #list do
    size_of[j - 1] = {}
    for k = 1, #list do size_of[j - 1][k - 1] = size(list[j], list[k], o) end
  end
  return size_of
end

-- Schedules with `depth` batches in flight, checks every pair, and returns how often each variable was scheduled.
local function check_batches(filter, size_of, phases, k, depth)
  local flying, often = {}, {}
  for phase = 1, phases do
    local vars, deltas = filter:next(k), {}
    assert.is_true(#vars <= k)
    for i, j in ipairs(vars) do
      for at = 1, i - 1 do assert.is_true(size_of[j][vars[at]] < filter.rho) end
      for _, other in ipairs(flying) do
        for _, there in ipairs(other) do
          assert.are_not.equal(there, j)
          assert.is_true(size_of[j][there] < filter.rho)
        end
      end
      often[j], deltas[i] = (often[j] or 0) + 1, math.sin(j * phase)
    end
    flying[#flying + 1] = vars
    if #flying > depth then
      local first = table.remove(flying, phase % #flying + 1) -- they land in any order
      for i, j in ipairs(first) do deltas[i] = math.sin(j * phase) end
      filter:feed(first, deltas)
    end
  end
  return often
end

describe("dependency", function()
  local policies = {
    cyclic = function(n) return sched.cyclic { variables = n } end,
    random = function(n) return sched.random { variables = n, seed = 3 } end,
    priority = function(n) return sched.priority { variables = n, seed = 4 } end,
    best = function(n) return sched.priority { variables = n, seed = 4 } end,
    user = function(n)
      local at = -1
      return { next = function(_, k)
        local vars = {}
        for i = 1, math.min(k, n) do at, vars[i] = (at + 7) % n, (at + 7) % n end
        return vars
      end }
    end,
  }

  for _, kind in ipairs { "sparse", "long", "dense", "centred", "standardised" } do
    it("never breaks rho, nothing waits for ever: " .. kind, function()
      -- "long": every ninth column has more than 512 entries, and so is not in the rows' lists
      local list = correlated(rng(7), 48, kind == "long" and 600 or 60, kind == "long" and 0.02 or 0.15)
      local o = { intercept = kind == "centred" or kind == "standardised", standardise = kind == "standardised" }
      local x, size_of = columns_of(list, kind ~= "dense", o), sizes_of(list, o)
      for name, policy in pairs(policies) do
        for depth = 0, 2, 2 do
          local filter = sched.dependency { policy = policy(#list), columns = x, rho = 0.25, best = name == "best" }
          local often = check_batches(filter, size_of, 80, 8, depth)
          local total, least = 0, math.huge
          for j = 0, #list - 1 do total, least = total + (often[j] or 0), math.min(least, often[j] or 0) end
          local ranked = name == "priority" or name == "best"
          assert.is_true(least >= (ranked and 1 or total / #list / 4), name .. " forgot a variable")
          local counts = filter:counts()
          assert.is_true(counts.dropped > 0 and counts.scheduled > 150)
          if kind == "sparse" then assert.equal(0, counts.misses) end
          if kind == "long" then assert.is_true(counts.misses > 50) end
        end
      end
    end)
  end

  it("compares products themselves where it is told to", function()
    local list = correlated(rng(5), 20, 30, 0.3)
    local size_of = sizes_of(list, { raw = true })
    local filter = sched.dependency { policy = policies.random(#list), columns = columns_of(list, true), rho = 2,
      norm = false }
    check_batches(filter, size_of, 100, 6, 1)
    assert.is_true(filter:counts().dropped > 0)
  end)

  it("sees pairs that have hardly a row in common", function()
    local function together(a, b, o)
      local filter = sched.dependency { policy = sched.cyclic { variables = 2 }, rho = 0.9,
        columns = columns_of({ a, b }, true, o) }
      local vars = filter:next(2)
      assert.equal(size(a, b, o) < 0.9 and 2 or 1, #vars)
      return #vars == 2
    end
    -- no row in common, and opposite: once they are centred
    assert.is_true(together({ 1, 1, 0, 0 }, { 0, 0, 1, 1 }, {}))
    assert.is_false(together({ 1, 1, 0, 0 }, { 0, 0, 1, 1 }, { intercept = true }))
    assert.is_true(together({ 1, 1, 0, 0, 0 }, { 0, 0, 1, 1, 0 }, { intercept = true }))
    -- two rows of a long column make it: all others are looked up in it
    local long, short, other, even = {}, {}, {}, {}
    for i = 1, 1000 do long[i], short[i], other[i], even[i] = math.sin(i), 0, 0, 1 + i / 1000 end
    for row = 1, 999, 37 do
      short[row], short[row + 1], other[row] = 1, -1, 1
      long[row], long[row + 1] = 1000, -1000
      assert.is_false(together(long, short, {}))
      assert.is_true(together(long, other, {}))
      assert.is_false(together(short, long, { intercept = true }))
      short[row], short[row + 1], other[row], long[row], long[row + 1] = 0, 0, 0, 0, 0
    end
    -- and with few entries in a long column of a large mean
    for i = 1, 1000 do short[i] = i % 20 == 0 and 1 or 0 end
    local falling = {}
    for i = 1, 1000 do falling[i] = i < 980 and i % 20 == 0 and 1 or 2 - 1 / i end
    assert.is_true(together(even, short, { intercept = true }))
    assert.is_false(together(falling, short, { intercept = true }))
    assert.is_true(together(falling, short, {}))
  end)

  -- 0 and 1 are the same column, 2 and 3 have nothing in common with any.
  local function four(policy, best)
    return sched.dependency { policy = policy, rho = 0.5, best = best,
      columns = columns_of({ { 1, 0, 0 }, { 2, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } }, true) }
  end

  it("offers what it dropped first, against what is in flight, too", function()
    local filter = four(sched.cyclic { variables = 4 })
    assert.same({ 0, 2 }, filter:next(2)) -- 1 is dropped
    assert.same({ 1 }, filter:waiting())
    assert.same({ 3 }, filter:next(2)) -- 0 is in flight: 1 must wait
    assert.same({ 1 }, filter:waiting())
    assert.same({ 0, 2, 3 }, filter:in_flight())
    filter:feed({ 2, 3 }, { 0, 0 })
    assert.same({ 2, 3 }, filter:next(2)) -- 1 must still wait
    filter:landed { 0 }
    assert.same({ 1 }, filter:next(1))
    assert.same({}, filter:waiting())
    assert.same({}, filter:next(2)) -- all that is left is in flight, or depends on it
    assert.equal("epact.sched.dependency <rho 0.5, 3 in flight, 1 waiting, of " .. tostring(filter.policy) .. ">",
      tostring(filter))
    filter:feed({ 1, 2, 3 }, { 0, 0, 0 })
    assert.same({ 0, 2, 3 }, filter:next(4))
  end)

  it("takes the best of many, and leaves to the policy what has missed its second chance", function()
    local policy = sched.priority { variables = 4, eta = 0, seed = 1 }
    local filter = four(policy, true)
    policy:feed({ 0, 1, 2, 3 }, { 9, 8, 2, 1 })
    assert.same({ 0, 2, 3 }, filter:next(4)) -- in the order of the weights
    assert.same({ 1 }, filter:waiting())
    filter:feed({ 2, 3 }, { 2, 1 })
    assert.same({ 2, 3 }, filter:next(4)) -- 0 is in flight
    assert.same({}, filter:waiting())
    assert.equal(8, policy:weight(1)) -- nothing was lost
    filter:feed({ 0, 2, 3 }, { 7, 2, 1 })
    assert.same({ 1, 2, 3 }, filter:next(4))
  end)

  it("decides the same with any memory of pairs, and keeps to its bytes", function()
    local list = correlated(rng(9), 60, 4100, 1) -- dense ones are remembered from 4096 rows on
    local x, first = columns_of(list, false, { intercept = true }), nil
    for _, bytes in ipairs { 0, 64, 1024, 2 ^ 20 } do
      local filter = sched.dependency { policy = policies.random(#list), columns = x, rho = 0.3, cache = bytes }
      local batches = {}
      for i = 1, 200 do
        batches[i] = filter:next(8)
        filter:feed(batches[i], {})
      end
      local counts = filter:counts()
      assert.equal(bytes, counts.bytes)
      assert.is_true(counts.pairs <= 5 * bytes / 64)
      assert.equal(bytes == 64 or bytes == 1024, counts.evicted > 0)
      if bytes == 0 then assert.equal(0, counts.hits) end
      if bytes == 2 ^ 20 then
        assert.is_true(counts.misses <= #list * (#list - 1) / 2) -- no pair was computed twice
        assert.is_true(counts.hits > 2 * counts.misses)
      end
      first = first or batches
      assert.same(first, batches)
    end
  end)

  it("goes on where its state was kept, with what is in flight and waits", function()
    local list = correlated(rng(2), 40, 30, 0.4)
    local x = columns_of(list, true)
    local function new() return sched.dependency { policy = policies.priority(#list), columns = x, rho = 0.2 } end
    local filter, other = new(), new()
    for _ = 1, 5 do filter:feed(filter:next(6), { 1, 2, 3, 4, 5, 6 }) end
    filter:next(6)
    local state = filter:state()
    assert.is_true(#state.waiting > 0 and #state.flight > 0)
    other:restore(state)
    for _ = 1, 20 do
      local vars = filter:next(6)
      assert.same(vars, other:next(6))
      for _, f in ipairs { filter, other } do f:feed(vars, { 1, 2, 3, 4, 5, 6 }) end
    end
    assert.error_matches(function() other:restore { variables = 7 } end, "the state must be one of 42 variables")
    state.waiting[1] = 42
    assert.error_matches(function() other:restore(state) end, "those that wait: 42 is no variable of 0 .. 41")
    state.waiting, state.flight = {}, nil
    assert.error_matches(function() other:restore(state) end, "those in flight: expected a list of variables, got nil")
  end)

  it("names the policy and the batch that are wrong", function()
    local function refused(message, returned, name)
      local batch = 0
      local filter = four { name = name, next = function()
        batch = batch + 1
        return batch < 3 and { batch } or returned
      end }
      for _ = 1, 2 do filter:feed(filter:next(1), { 0 }) end
      assert.error_matches(function() filter:next(2) end, "sched.dependency: batch 3 of " .. message)
      assert.error_matches(function() filter:next(2) end, "sched.dependency: batch 4 of " .. message)
    end
    refused("mine: variable 2 twice", { 2, 2 }, "mine")
    refused("the policy: 4 is no variable of 0 .. 3", { 4 })
    refused("the policy: %-1 is no variable", { -1 })
    refused("the policy: 1.5 is no variable", { 1.5 })
    refused("the policy: it returned nothing", nil)
    refused("the policy: it returned nothing", {})
    refused("the policy: 3 variables, 2 were wanted", { 1, 2, 3 })
  end)

  it("says what is wrong", function()
    local x = columns_of({ { 1, 0 }, { 0, 1 } }, false)
    local function refused(message, o)
      assert.error_matches(function() sched.dependency(o) end, message)
    end
    local policy = sched.cyclic { variables = 2 }
    refused("option 'policy' must be a table with a function 'next'", { policy = {}, columns = x })
    refused("option 'columns' must be an epact.columns, got a table", { policy = policy, columns = {} })
    refused("option 'rho' must be a positive number, got 0", { policy = policy, columns = x, rho = 0 })
    refused("option 'best' is for a policy that draws in the order of its weights",
      { policy = policy, columns = x, best = true })
    refused("the policy has 3 variables, but there are 2 columns",
      { policy = sched.cyclic { variables = 3 }, columns = x })
    refused("did you mean 'candidates'", { policy = policy, columns = x, candidate = 3 })
    local filter = sched.dependency { policy = policy, columns = x, flight = 2 }
    filter:next(2)
    assert.error_matches(function() filter:next(1) end, "2 variables are in flight, and with 1 more it would be above")
    assert.error_matches(function() filter:next(0.5) end, "the number of variables must be an integer >= 1, got 0.5")
  end)
end)
