--- How many columns may be moved at once, and blocks of those that correlate.
local epact = require "epact"
local columns = require "epact.kernel.columns"
local data = require "epact.data"
local rng = require "epact.rng"
local sched = epact.sched

-- Lists of numbers as columns; sparse ones store what is not 0.
local function columns_of(list, o, dense)
  local X
  local at, rows = 0, #list[1]
  if dense then
    X = data.new("dense", #list, rows)
  else
    local entries = 0
    for _, c in ipairs(list) do
      for _, v in ipairs(c) do entries = entries + (v ~= 0 and 1 or 0) end
    end
    X = data.new("sparse", #list, rows, entries)
  end
  for j, c in ipairs(list) do
    for i, v in ipairs(c) do
      if dense then
        X.value[(j - 1) * rows + i - 1] = v
      elseif v ~= 0 then
        X.index[at], X.value[at], at = i - 1, v, at + 1
      end
    end
    if not dense then X.start[j] = at end
  end
  return columns.new("spec", X, o)
end

local function unit(size, at, value)
  local c = {}
  for i = 1, size do c[i] = i == at and (value or 1) or 0 end
  return c
end

-- The correlations of all pairs, by the definition.
local function correlations(list, centred)
  local n, unit_columns, gram = #list[1], {}, {}
  for j, c in ipairs(list) do
    local mean, norm2 = 0, 0
    for i = 1, n do mean = mean + (centred and c[i] / n or 0) end
    for i = 1, n do norm2 = norm2 + (c[i] - mean) ^ 2 end
    unit_columns[j] = {}
    for i = 1, n do unit_columns[j][i] = norm2 > 1e-20 and (c[i] - mean) / math.sqrt(norm2) or 0 end
  end
  for j in ipairs(list) do
    gram[j] = {}
    for k in ipairs(list) do
      local sum = 0
      for i = 1, n do sum = sum + unit_columns[j][i] * unit_columns[k][i] end
      gram[j][k] = sum
    end
  end
  return gram
end

-- The largest eigenvalue of a symmetric positive matrix: that of its 2^10-th power, by squaring.
local function largest_eigenvalue(a)
  local n, log = #a, 0
  for step = 1, 10 do
    local square, trace = {}, 0
    for j = 1, n do
      square[j] = {}
      for k = 1, n do
        local sum = 0
        for l = 1, n do sum = sum + a[j][l] * a[l][k] end
        square[j][k] = sum
      end
      trace = trace + square[j][j]
    end
    for j = 1, n do
      for k = 1, n do square[j][k] = square[j][k] / trace end
    end
    a, log = square, log + math.log(trace) / 2 ^ step
  end
  return math.exp(log) -- (sum of lambda^1024)^(1/1024)
end

local function near(expected, got, tolerance)
  assert.is_true(math.abs(got - expected) <= (tolerance or 1e-5) * math.abs(expected),
    ("expected %.9g, got %.9g"):format(expected, got))
end

describe("parallelism", function()
  it("is known for orthogonal, equal and a few other columns", function()
    for _, dense in ipairs { false, true } do
      local function radius(list, o)
        return sched.parallelism(columns_of(list, o, dense), { tolerance = 1e-12 })
      end
      local orthogonal, equal = {}, {}
      for j = 1, 10 do orthogonal[j], equal[j] = unit(10, j, j), { 1, 2, 0, 3 } end
      local found = radius(orthogonal)
      near(1, found.radius)
      assert.equal(4, found.workers) -- 10 / 2.1
      assert.equal(10, found.limit)
      found = radius(equal)
      near(10, found.radius)
      assert.same({ 1, 1, 10 }, { found.workers, found.limit, found.rho })
      -- [1 a 0; a 1 a; 0 a 1] has 1 + a sqrt 2, with a = 1/2
      local s = math.sqrt(0.75)
      near(1 + math.sqrt(0.5), radius({ { 2, 0, 0 }, { 0.5, s, 0 }, { 0, 0.5 / s, math.sqrt(1 - 1 / 3) } }).radius)
      -- two columns of correlation c have 1 + |c|: once these are centred, c is -1/2 over 1 and sqrt(3)/2
      near(1 + 1 / math.sqrt(3), radius({ { 1, 1, 0, 0 }, { 0, 0, 1, 0 } }, { intercept = true }).radius)
      near(1, radius({ { 1, 1, 0, 0 }, { 0, 0, 1, 0 } }).radius)
    end
  end)

  it("is d / (2 rho) on duplicated columns", function()
    local list = {}
    for j = 0, 39 do list[j + 1] = unit(10, j % 10 + 1, 1 + j) end
    local found = sched.parallelism(columns_of(list))
    near(4, found.radius)
    assert.equal(math.floor(40 / (2 * 1.05 * 4)), found.workers)
    assert.equal(math.ceil(39 / (1.05 * 4 - 1)), found.limit)
    assert.is_true(found.converged)
    assert.matches("^epact.parallelism <4 at a time of 40; rho 4.2, after %d+ iterations>$", tostring(found))
    found = sched.parallelism(columns_of(list), { max_iterations = 1 })
    assert.equal(1, found.iterations)
    assert.is_false(found.converged)
    assert.matches("still rising after 1 iterations", tostring(found))
  end)

  it("is that of the explicit correlations", function()
    local stream = rng(12)
    for _, o in ipairs { {}, { intercept = true }, { intercept = true, standardise = true } } do
      local list = {}
      for j = 1, 12 do
        list[j] = {}
        for i = 1, 20 do list[j][i] = stream:uniform() < 0.4 and stream:normal() + 0.5 or 0 end
      end
      list[13], list[14] = list[2], unit(20, 0) -- a duplicate, and one of zeros
      local expected = largest_eigenvalue(correlations(list, o.intercept))
      for _, dense in ipairs { false, true } do
        local x = columns_of(list, o, dense)
        near(expected, sched.parallelism(x, { tolerance = 1e-13 }).radius, 1e-3)
        local found = sched.parallelism(x, { tolerance = 1e-13, max_iterations = 100000 })
        near(expected, found.radius, 2e-3) -- the 1024-th root of the sum is above by at most log(14) / 1024
        assert.is_true(found.radius <= expected * (1 + 1e-12))
      end
    end
  end)

  it("says what is wrong, and takes columns without direction", function()
    local found = sched.parallelism(columns_of({ { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 } }))
    assert.same({ 0, 1, 2 }, { found.radius, found.rho, found.workers })
    assert.error_matches(function() sched.parallelism {} end, "the first argument must be an epact.columns, got a tab")
    assert.error_matches(function() sched.parallelism(columns_of { { 1 } }, { sed = 1 }) end, "did you mean 'seed'")
  end)
end)

-- Six groups of columns that share a signal, in random order.
local function planted(sparse, size)
  local stream, place, list = rng(21), {}, {}
  for j = 0, 6 * size - 1 do place[j + 1] = j % 6 end
  stream:shuffle(place)
  for j = 1, 6 * size do
    list[j] = {}
    for i = 1, 60 do
      local own = (i - 1) % 6 == place[j]
      list[j][i] = sparse and (own and 1 + 0.3 * stream:normal() or stream:uniform() < 0.05 and stream:normal() or 0)
        or (own and 2 * math.sin(i) or 0) + 0.3 * stream:normal() + 5
    end
  end
  return list, place
end

describe("cluster", function()
  it("finds six groups of correlated columns", function()
    for _, sparse in ipairs { true, false } do
      local list, place = planted(sparse, 9)
      local x = columns_of(list, { intercept = not sparse }, not sparse)
      local clusters = sched.cluster(x, { blocks = 6 })
      local name = {}
      for j = 0, #list - 1 do
        local b = clusters.block[j]
        name[b] = name[b] or place[j + 1]
        assert.equal(name[b], place[j + 1])
      end
      assert.equal("epact.clusters <54 variables in 6 blocks>", tostring(clusters))
      -- one of each group hardly correlate; of blocks at random they do
      local random = { block = {}, blocks = 6, variables = 54 }
      for j = 0, 53 do random.block[j] = math.floor(j / 9) end
      local found, other = sched.block_radius(x, clusters), sched.block_radius(x, random)
      assert.is_true(found < 2 and other > 1.4 * found)
      -- and the policy takes what was found
      local policy = sched.blocks { block = clusters }
      local member, count = policy:members(clusters.block[7])
      assert.equal(9, count)
      local there = false
      for i = 0, count - 1 do there = there or member[i] == 7 end
      assert.is_true(there)
    end
  end)

  it("begins with the densest, takes the nearest, and fills up", function()
    -- 3 has most entries; 1 correlates with it (-1), 4 a little; 0 and 2 with none
    local x = columns_of { unit(8, 8), { 0, 0, -1, -1, 0, 0, 0, 0 }, unit(8, 7), { 0, 0, 1, 1, 1, 0, 0, 0 },
      { 0, 0, 0, 0, 1, 1, 0, 0 } }
    local function blocks(count)
      local block, list = sched.cluster(x, { blocks = count }).block, {}
      for j = 0, 4 do list[j + 1] = block[j] end
      return table.concat(list, " ")
    end
    assert.equal("1 0 2 0 1", blocks(3)) -- 3 and 1; then 4, to which nothing is near: and 0; 2 is left
    assert.equal("1 0 1 0 0", blocks(2)) -- 3, and both that are near
  end)

  it("makes blocks of equal size, but for one", function()
    local list = planted(false, 9)
    for _, count in ipairs { 1, 5, 7, 53, 54 } do
      local clusters, size = sched.cluster(columns_of(list, nil, true), { blocks = count }), {}
      for j = 0, 53 do size[clusters.block[j]] = (size[clusters.block[j]] or 0) + 1 end
      for b = 0, count - 1 do assert.is_true(size[b] == math.floor(54 / count) or size[b] == math.ceil(54 / count)) end
    end
  end)

  it("has the radius of all columns where each is a block", function()
    local list = planted(true, 2)
    local x, block = columns_of(list), {}
    for j = 0, 11 do block[j] = j end
    near(sched.parallelism(x, { tolerance = 1e-12 }).radius,
      sched.block_radius(x, { block = block, blocks = 12, variables = 12 }, { draws = 2 }), 1e-3)
  end)

  it("says what is wrong", function()
    local x = columns_of { { 1, 0 }, { 0, 1 } }
    local function refused(message, f, ...)
      local given = { ... }
      assert.error_matches(function() f(unpack(given)) end, message)
    end
    refused("2 columns cannot be put into 3 blocks", sched.cluster, x, { blocks = 3 })
    refused("option 'blocks' is required", sched.cluster, x)
    refused("the first argument must be an epact.columns, got nil", sched.cluster)
    refused("must be what sched.cluster returned for these columns, got 3", sched.block_radius, x, 3)
    refused("the block of variable 1 is 2, of 2", sched.block_radius, x,
      { block = { [0] = 0, 2 }, blocks = 2, variables = 2 })
    refused("block 0 of 2 has no variable", sched.block_radius, x,
      { block = { [0] = 1, 1 }, blocks = 2, variables = 2 })
  end)
end)
