--- Batches cut into parts of equal work, and blocks of variables.
local epact = require "epact"
local columns = require "epact.kernel.columns"
local data = require "epact.data"
local rng = require "epact.rng"
local sched = epact.sched

-- The largest load, the mean and the largest item, from the parts themselves.
local function loads_of(parts, work)
  local sum, largest, item = 0, 0, 0
  for _, part in ipairs(parts) do
    local load = 0
    for _, j in ipairs(part) do load, item = load + work[j], math.max(item, work[j]) end
    sum, largest = sum + load, math.max(largest, load)
  end
  return largest, sum / #parts, item
end

local function sorted(...)
  local list = {}
  for _, part in ipairs { ... } do
    for _, j in ipairs(part) do list[#list + 1] = j end
  end
  table.sort(list)
  return list
end

-- The least that the largest of `parts` loads can be, by trying all.
local function least_load(work, count, parts)
  local load, best = {}, math.huge
  for p = 1, parts do load[p] = 0 end
  local function deal(j)
    if j == count then
      local largest = 0
      for p = 1, parts do largest = math.max(largest, load[p]) end
      best = math.min(best, largest)
      return
    end
    for p = 1, parts do
      load[p] = load[p] + work[j]
      deal(j + 1)
      load[p] = load[p] - work[j]
    end
  end
  deal(0)
  return best
end

describe("balance", function()
  it("deals the largest first, and exchanges what LPT gets wrong", function()
    local work = { [0] = 5, 4, 3, 3, 3 } -- LPT: 5 + 3 and 4 + 3 + 3; there is 5 + 4 and 3 + 3 + 3
    local policy = sched.balance { policy = sched.cyclic { variables = 5 }, work = work, workers = 2 }
    assert.same({ 0, 1, 2, 3, 4 }, policy:next(5))
    local parts = policy:parts()
    table.sort(parts, function(a, b) return #a < #b end)
    assert.same({ { 0, 1 }, { 2, 3, 4 } }, parts)
    assert.same({ 9, 9, 5 }, { policy:loads() })
    assert.equal("epact.sched.balance <2 workers, largest load 9 of a mean of 9, of " .. tostring(policy.policy) .. ">",
      tostring(policy))
    -- the LPT of the textbook is kept where it is near enough
    policy = sched.balance { policy = sched.cyclic { variables = 5 }, work = work, workers = 2, bound = 4 / 3 }
    policy:next(5)
    assert.same({ 10, 9, 5 }, { policy:loads() })
  end)

  it("holds back what does not fit, and gives it next", function()
    local policy = sched.balance { policy = sched.cyclic { variables = 3 }, workers = 2,
      work = function() return 2 end }
    local batch = policy:next(3)
    assert.same({ 2, 2, 2 }, { policy:loads() })
    local left = policy:waiting()
    assert.equal(1, #left)
    assert.same({ 0, 1, 2 }, sorted(batch, left))
    assert.equal(left[1], policy:next(3)[1])
    -- nothing that is there can be dealt better: it says so
    policy = sched.balance { policy = sched.static { order = { { 0, 1, 2 } } }, workers = 2,
      work = { [0] = 4, 2.9, 2.3 } }
    assert.same({ 0, 1, 2 }, policy:next(3))
    local largest, mean, item = policy:loads()
    assert.is_true(math.abs(largest - 5.2) + math.abs(mean - 4.6) + math.abs(item - 4) < 1e-12)
  end)

  it("takes others where they fit better", function()
    local order = { { 0, 1, 2 }, { 3 } }
    for spare, largest in pairs { [5] = 5.2, [1.5] = 4.4 } do -- 5 for 4, or 1.5 for 2.3
      local policy = sched.balance { policy = sched.static { order = order }, workers = 2,
        work = { [0] = 4, 2.9, 2.3, spare } }
      assert.equal(3, #policy:next(3))
      assert.is_true(math.abs((policy:loads()) - largest) < 1e-12)
      assert.equal(1, #policy:waiting())
    end
  end)

  it("finds the parts where there are some, of all that may be dealt", function()
    local stream, found = rng(3), 0
    for _ = 1, 150 do
      local count, parts, work = 6 + stream:below(3), 2 + stream:below(2), {}
      for j = 0, count - 1 do work[j] = 1 + stream:below(30) end
      local order = {}
      for j = 0, count - 1 do order[j + 1] = j end
      local policy = sched.balance { policy = sched.static { order = { order } }, work = work, workers = parts,
        candidates = 1 }
      local batch = policy:next(count)
      local largest, mean, item = policy:loads()
      local expected = { loads_of(policy:parts(), work) }
      assert.same(expected, { largest, mean, item })
      assert.same(sorted(batch), sorted(unpack(policy:parts())))
      assert.same(order, sorted(batch, policy:waiting()))
      local best = least_load(work, count, parts)
      if #batch == count then assert.is_true(largest <= 4 / 3 * best + 1e-9) end
      if best <= 1.1 * mean and #batch == count then
        found = found + 1
        assert.is_true(largest <= 1.1 * mean + 1e-9)
      end
    end
    assert.is_true(found > 60)
  end)

  it("keeps the largest load within 1.1 of the mean where no item exceeds that", function()
    local kinds = {
      uniform = function(stream) return stream:uniform() end,
      text = function(stream) return math.floor(1 / (stream:uniform() ^ 0.7 + 1e-3)) end, -- words: few have most
      two = function(stream) return stream:uniform() < 0.2 and 10 or 1 end,
      normal = function(stream) return math.abs(stream:normal()) end,
    }
    for _, kind in pairs(kinds) do
      for _, shape in ipairs { { 64, 2 }, { 64, 8 }, { 24, 3 }, { 32, 4 } } do
        local k, workers, work, stream = shape[1], shape[2], {}, rng(shape[1])
        for j = 0, 1999 do work[j] = kind(stream) end
        local policy = sched.balance { policy = sched.random { variables = 2000, seed = 1 }, work = work,
          workers = workers }
        local given, bounded = 0, 0
        for _ = 1, 25 do
          local batch = policy:next(k)
          local largest, mean, item = loads_of(policy:parts(), work)
          given = given + #batch
          if item <= mean then
            bounded = bounded + 1
            assert.is_true(largest <= 1.1 * mean + 1e-9)
          end
        end
        assert.is_true(given > 0.9 * 25 * k) -- and hardly by holding back
        assert.is_true(kind == kinds.text or bounded >= 20)
      end
    end
  end)

  it("forgets nothing, and takes what waits longest", function()
    local stream, work, since = rng(8), {}, {}
    for j = 0, 39 do work[j] = stream:uniform() ^ 3 end
    local policy = sched.balance { policy = sched.cyclic { variables = 40 }, work = work, workers = 4 }
    for phase = 1, 200 do
      for _, j in ipairs(policy:next(8)) do since[j] = phase end
      for j = 0, 39 do assert.is_true(phase - (since[j] or 0) < 30) end
    end
    -- one in whose place another always fits better
    policy = sched.balance { policy = sched.cyclic { variables = 10 }, workers = 2,
      work = function(j) return j == 0 and 1 or 2 end }
    local often = 0
    for _ = 1, 50 do
      for _, j in ipairs(policy:next(4)) do often = often + (j == 0 and 1 or 0) end
    end
    assert.is_true(often >= 8)
  end)

  it("goes on where its state was kept", function()
    local work, stream = {}, rng(6)
    for j = 0, 49 do work[j] = stream:uniform() end
    local function new()
      return sched.balance { policy = sched.random { variables = 50, seed = 2 }, work = work, workers = 3 }
    end
    local policy, other = new(), new()
    repeat policy:next(6) until #policy:waiting() > 0
    local state = policy:state()
    other:restore(state)
    for _ = 1, 20 do
      assert.same(policy:next(6), other:next(6))
      assert.same(policy:parts(), other:parts())
    end
    assert.error_matches(function() other:restore { workers = 2 } end, "the state must be one of 3 workers")
  end)

  it("goes around a dependency check: what is held back counts as in flight", function()
    local X, stream = data.new("dense", 30, 6), rng(4)
    for i = 0, 179 do X.value[i] = stream:normal() end
    local x = columns.new("spec", X)
    local inner = sched.dependency { policy = sched.priority { variables = 30, seed = 1 }, columns = x, rho = 0.5 }
    local policy = sched.balance { policy = inner, work = function(j) return 1 + j % 5 end, workers = 2 }
    local held = 0
    for _ = 1, 60 do
      local vars, deltas = policy:next(5), {}
      held = held + #policy:waiting()
      assert.same(sorted(vars, policy:waiting()), sorted(inner:in_flight()))
      for i, j in ipairs(vars) do
        deltas[i] = 1 / (1 + j)
        for at = 1, i - 1 do
          local k = vars[at]
          assert.is_true(math.abs(x:product(j, k)) < 0.5 * math.sqrt(x.squared_norm[j] * x.squared_norm[k]))
        end
      end
      policy:feed(vars, deltas)
    end
    assert.is_true(held > 0)
    policy:landed(policy:next(4))
  end)

  it("says what is wrong", function()
    local function refused(message, o)
      o.policy, o.workers = o.policy or sched.cyclic { variables = 3 }, o.workers or 2
      assert.error_matches(function() sched.balance(o):next(2) end, message)
    end
    refused("option 'work' must be an array or a function, got 3", { work = 3 })
    refused("the work of variable 0 is nil", { work = {} })
    refused("the work of variable 1 is %-1", { work = { [0] = 1, -1 } })
    refused("the work of variable %d is .*nan", { work = function() return 0 / 0 end })
    refused("option 'policy' must be a table with a function 'next'", { policy = {}, work = {} })
    refused("a bound >= 1, got 2 and 0.5", { work = {}, bound = 0.5 })
    refused("batch 1 of the policy: it returned nothing", { work = {}, policy = { next = function() end } })
    refused("batch 1 of the policy: 3 is no variable of 0 .. 2",
      { work = {}, variables = 3, policy = { next = function() return { 3 } end } })
  end)
end)

describe("blocks", function()
  it("takes every pair of five blocks about equally often", function()
    local policy = sched.blocks { block = { [0] = 0, 1, 2, 3, 4, 0, 4, 2 }, seed = 1 }
    local seen = {}
    for _ = 1, 3000 do
      local vars = policy:next(2)
      local pair = math.min(vars[1], vars[2]) * 5 + math.max(vars[1], vars[2])
      seen[pair] = (seen[pair] or 0) + 1
    end
    local pairs_seen, chi2 = 0, 0
    for _, n in pairs(seen) do pairs_seen, chi2 = pairs_seen + 1, chi2 + (n - 300) ^ 2 / 300 end
    assert.equal(10, pairs_seen)
    assert.is_true(chi2 < 27.88) -- 0.999 quantile, 9 degrees of freedom
    assert.equal("epact.sched.blocks <8 variables in 5 blocks>", tostring(policy))
    local state = policy:state()
    local next_ones = { policy:next(3), policy:next(3) }
    policy:restore(state)
    assert.same(next_ones, { policy:next(3), policy:next(3) })
    policy:feed()
  end)

  it("knows the variables of a block", function()
    local policy = sched.blocks { block = { [0] = 0, 1, 2, 0, 2, 0, 1, 2 } }
    local read = {}
    for b = 0, policy.variables - 1 do
      local member, count = policy:members(b)
      for i = 0, count - 1 do read[#read + 1] = ("%d:%d"):format(b, member[i]) end
    end
    assert.equal("0:0 0:3 0:5 1:1 1:6 2:2 2:4 2:7", table.concat(read, " "))
  end)

  it("says what is wrong", function()
    local function refused(message, o)
      assert.error_matches(function() sched.blocks(o) end, message)
    end
    refused("option 'block' must be an array, got 3", { block = 3 })
    refused("option 'variables' is required where", { block = {} })
    refused("block 1 of 3 has no variable", { block = { [0] = 0, 2, 2 } })
    refused("the block of variable 1 must be an integer in 0 .. 1, got 2", { block = { [0] = 0, 2 } })
    refused("the block of variable 2 must be an integer in 0 .. 2, got nil", { block = { [0] = 0, 1 }, variables = 3 })
    local policy = sched.blocks { block = { [0] = 0, 1 } }
    assert.error_matches(function() policy:members(2) end, "block must be below 2, got 2")
    assert.error_matches(function() policy:restore { variables = 1 } end, "the state must be one of 2 blocks")
  end)
end)
