--- The hypergraph statistics of sparse problems, and the theorem's step and number of steps.
local data = require "epact.data"
local rng = require "epact.rng"
local sparsity = require "epact.optim.sparsity"

local function edges_of(vertices, list)
  local edges = data.new("edges", vertices, #list, 0)
  for i, e in ipairs(list) do edges.source[i - 1], edges.target[i - 1] = e[1], e[2] end
  return edges
end

local function sparse_of(cols, list)
  local count = 0
  for _, row in ipairs(list) do count = count + #row end
  local X, at = data.new("sparse", #list, cols, count), 0
  for i, row in ipairs(list) do
    for _, j in ipairs(row) do X.index[at], X.value[at], at = j, 1, at + 1 end
    X.start[i] = at
  end
  return X
end

--- By the definitions.
local function compare_all(cols, list)
  local omega, delta, rho = 0, 0, 0
  local function shares(a, b)
    for _, u in ipairs(a) do
      for _, v in ipairs(b) do
        if u == v then return true end
      end
    end
    return false
  end
  for i, row in ipairs(list) do
    local met = 0
    for k, other in ipairs(list) do met = met + ((i == k or shares(row, other)) and 1 or 0) end
    omega, rho = math.max(omega, #row), math.max(rho, met)
  end
  for v = 0, cols - 1 do
    local degree = 0
    for _, row in ipairs(list) do degree = degree + (shares(row, { v }) and 1 or 0) end
    delta = math.max(delta, degree)
  end
  return { omega, delta / #list, rho / #list }
end

local function random_rows(stream, rows, cols, mean)
  local list = {}
  for i = 1, rows do
    list[i] = {}
    for j = 0, cols - 1 do
      if stream:uniform() < mean / cols * (j % 7 == 0 and 2 or 0.8) then table.insert(list[i], j) end
    end
  end
  return list
end

local function numbers(statistics) return { statistics.omega, statistics.delta, statistics.rho } end

describe("sparsity", function()
  it("of a graph of six vertices", function()
    local statistics = sparsity.statistics(edges_of(6, { { 0, 1 }, { 1, 2 }, { 3, 4 }, { 4, 5 }, { 5, 3 }, { 0, 5 } }))
    assert.same({ 2, 0.5, 2 / 3, 2 / 3, 6, 6 }, { statistics.omega, statistics.delta, statistics.rho,
      statistics.rho_least, statistics.edges, statistics.vertices })
    assert.equal("epact.sparsity <6 edges, 6 vertices: Omega 2, Delta 0.5, rho 0.6667>", tostring(statistics))
  end)

  it("counts loops, parallel edges and ratings as the definitions do", function()
    local function check(expected, X) assert.same(expected, numbers(sparsity.statistics(X))) end
    check({ 2, 3 / 4, 3 / 4 }, edges_of(4, { { 0, 1 }, { 1, 0 }, { 0, 0 }, { 2, 3 } }))
    check({ 1, 1, 1 }, edges_of(1, { { 0, 0 } }))
    local ratings = data.new("ratings", 2, 2, 3) -- user 0 and item 0 are two vertices
    ratings.user[1], ratings.item[1], ratings.user[2], ratings.item[2] = 1, 1, 1, 1
    check({ 2, 2 / 3, 2 / 3 }, ratings)
    check({ 0, 0, 1 / 2 }, sparse_of(3, { {}, {} }))
  end)

  it("agrees with the definitions, and bounds them when work is dear", function()
    local stream, bounded = rng(1), 0
    for trial = 1, 60 do
      local cols = 5 + stream:below(40)
      local list = random_rows(stream, 5 + stream:below(50), cols, 1 + stream:below(3))
      local X, expected = sparse_of(cols, list), compare_all(cols, list)
      assert.same(expected, numbers(sparsity.statistics(X)))
      local rough = sparsity.statistics(X, { work = 10 * (trial % 5) })
      assert.same({ expected[1], expected[2] }, { rough.omega, rough.delta })
      assert.is_true(rough.rho_least <= expected[3] and expected[3] <= rough.rho)
      if rough.rho_least < rough.rho then bounded = bounded + 1 end
    end
    assert.is_true(bounded > 10)
    local X = data.libsvm "examples/data/breast-cancer.svm"
    assert.same({ X.cols, 1, 1 }, numbers(sparsity.statistics(X)))
  end)

  it("has the theorem's step and number of steps", function()
    local statistics = { omega = 2, delta = 1 / 4, rho = 2 / 3 }
    local given = { eps = 0.1, c = 1, L = 2, M = 3, tau = 3, theta = 0.5, D0 = 4 }
    local promise = sparsity.hogwild(statistics, given)
    -- 2 L M^2 Omega = 72; 6 rho tau = 12; tau^2 Omega sqrt(Delta) = 9
    assert.near(0.5 * 0.1 / (72 * (1 + 12 + 36)), promise.step, 1e-15)
    assert.equal(math.ceil(72 * (1 + 12 + 54) * math.log(80) / 0.05), promise.steps)
    assert.same({ 49, 67 }, { promise.smaller, promise.slower })
    assert.matches("constant step 1.417e%-05: f %- f%* <= 0.1 expected after 4.228e%+05 steps; 67 times",
      tostring(promise))
    given.tau = 0
    assert.near(0.05 / 72, sparsity.hogwild(statistics, given).step, 1e-15)
    given.D0 = 0.01 -- near enough already
    assert.equal(0, sparsity.hogwild(statistics, given).steps)
  end)

  it("refuses what has no statistics or no theorem", function()
    assert.error_matches(function() sparsity.statistics(data.new("edges", 3, 0, 0)) end, "there are no rows")
    assert.error_matches(function() sparsity.statistics(data.new("dense", 3, 3)) end, "expected sparse rows, edges or")
    assert.error_matches(function() sparsity.statistics(edges_of(2, { { 0, 5 } })) end, "edge 0 has vertex 5 of 2")
    local function refused(pattern, change)
      local given = { eps = 0.1, c = 1, L = 2, M = 3, tau = 3, D0 = 4 }
      for name, value in pairs(change) do given[name] = value end
      assert.error_matches(function() sparsity.hogwild({ omega = 2, delta = 0.5, rho = 0.5 }, given) end, pattern)
    end
    refused("'theta' must be in %(0, 1%), got 1", { theta = 1 })
    refused("no f has L = 0.5 below c = 1", { L = 0.5 })
    refused("'tau' must be a number >= 0", { tau = -1 })
    refused("needs step %* c < 1", { eps = 1e3, M = 0.1 })
    assert.error_matches(function() sparsity.hogwild({}, { eps = 1, c = 1, L = 1, M = 1, tau = 1, D0 = 1 }) end,
      "expected what sparsity.statistics returns")
  end)
end)
