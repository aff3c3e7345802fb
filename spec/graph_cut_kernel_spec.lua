--- Steps of graph cuts: the proximal step of one edge, projection on the simplex, dealing, and what is refused.
local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.graph_cut"
local rng = require "epact.rng"
local C = core.C

local function edges_of(vertices, list)
  local edges = data.new("edges", vertices, #list, 1)
  for i, e in ipairs(list) do edges.source[i - 1], edges.target[i - 1], edges.weight[i - 1] = e[1], e[2], e[3] or 1 end
  return edges
end

--- The rows after steps of `edge`, a list of { source, target, pull of the source, of the target }.
local function step(labels, rows, edge, size)
  local x, list = ffi.new("float[?]", #rows * labels), ffi.new("epact_cut_edge[?]", #edge)
  for v, row in ipairs(rows) do
    for l = 1, labels do x[(v - 1) * labels + l - 1] = row[l] end
  end
  for i, e in ipairs(edge) do list[i - 1] = ffi.new("epact_cut_edge", e) end
  C.epact_cut_steps(list, #edge, labels, size, x)
  local after = {}
  for v = 1, #rows do
    after[v] = {}
    for l = 1, labels do after[v][l] = x[(v - 1) * labels + l - 1] end
  end
  return after
end

local function near(expected, rows, tolerance)
  for v, row in ipairs(expected) do
    for l, number in ipairs(row) do assert.near(number, rows[v][l], tolerance or 1e-6) end
  end
end

--- By sorting: u = sort desc(v), k = max{k: u_k > (cum_k - 1) / k}.
local function project(row)
  local sorted, cumulated, theta = {}, 0, 0
  for l, number in ipairs(row) do sorted[l] = number end
  table.sort(sorted, function(a, b) return a > b end)
  for k, number in ipairs(sorted) do
    cumulated = cumulated + number
    if number > (cumulated - 1) / k then theta = (cumulated - 1) / k end
  end
  local projected = {}
  for l, number in ipairs(row) do projected[l] = math.max(number - theta, 0) end
  return projected
end

local function random_row(stream, labels, scale)
  local row = {}
  for l = 1, labels do row[l] = scale * stream:normal() end
  return row
end

describe("graph cut kernel", function()
  it("moves both ends towards each other, each by its own pull", function()
    near({ { 0.75, 0.25 }, { 0.3, 0.7 } }, step(2, { { 0.8, 0.2 }, { 0.2, 0.8 } }, { { 0, 1, 0.5, 1 } }, 0.1))
    near({ { 0.3, 0.7 }, { 0.75, 0.25 } }, step(2, { { 0.2, 0.8 }, { 0.8, 0.2 } }, { { 0, 1, 1, 0.5 } }, 0.1))
  end)

  it("lets them meet where the pulls divide the way, and stops a free end at a fixed one", function()
    near({ { 0.6, 0.4 }, { 0.6, 0.4 } }, step(2, { { 0.8, 0.2 }, { 0.2, 0.8 } }, { { 0, 1, 0.5, 1 } }, 1))
    near({ { 1, 0 }, { 1, 0 } }, step(2, { { 0.2, 0.8 }, { 1, 0 } }, { { 0, 1, 1, 0 } }, 2))
    near({ { 0.3, 0.7 }, { 1, 0 } }, step(2, { { 0.2, 0.8 }, { 1, 0 } }, { { 0, 1, 1, 0 } }, 0.1))
  end)

  for _, labels in ipairs { 2, 3, 4, 7 } do
    it(("makes the proximal step, and projects: %d labels"):format(labels), function()
      local stream = rng(labels)
      for _ = 1, 50 do
        local a, b = project(random_row(stream, labels, 1)), project(random_row(stream, labels, 1))
        local pull_a, pull_b = stream:uniform(), stream:below(3) > 0 and stream:uniform() or 0
        local size = 0.5 * stream:uniform()
        local to_a, to_b = {}, {}
        for l = 1, labels do
          local apart, both = b[l] - a[l], size * (pull_a + pull_b)
          local share = math.abs(apart) <= both and apart / both or (apart > 0 and 1 or -1)
          to_a[l], to_b[l] = a[l] + share * size * pull_a, b[l] - share * size * pull_b
        end
        near({ project(to_a), pull_b > 0 and project(to_b) or b },
          step(labels, { a, b }, { { 0, 1, pull_a, pull_b } }, size), 2e-6)
      end
    end)
  end

  it("settles any row on the simplex", function()
    local stream = rng(8)
    for labels = 3, 40 do
      local row, x = random_row(stream, labels, 3), ffi.new("float[?]", labels)
      for l = 1, labels do x[l - 1] = row[l] end
      C.epact_cut_settle(labels, 0, 1, x)
      for l, number in ipairs(project(row)) do assert.near(number, x[l - 1], 2e-6) end
    end
  end)

  it("adds up the objective and the cut", function()
    local edges = edges_of(4, { { 0, 1, 2 }, { 1, 2, 3 }, { 2, 2, 5 }, { 2, 3, 0 }, { 3, 0, 0.5 } })
    local problem = kernel.new("here", edges, { [0] = 0, [3] = 1 }, 2)
    local x = ffi.new("float[8]", 1, 0, 0.75, 0.25, 0.25, 0.75, 0, 1)
    local objective, cut = problem:objective(0, 5, x)
    assert.near(2 * 2 * 0.25 + 3 * 2 * 0.5 + 0.5 * 2, objective, 1e-9)
    assert.near(3.5, cut, 1e-9)
    assert.near(3, (problem:objective(1, 4, x)), 1e-9)
    local label = ffi.new "double[4]"
    problem:round(x, label)
    assert.same({ 0, 0, 1, 1 }, { label[0], label[1], label[2], label[3] })
  end)

  it("deals each edge that can move a row to one worker, in an order of the seed's", function()
    local list, stream = {}, rng(3)
    for i = 1, 400 do list[i] = { stream:below(40), stream:below(40), stream:below(4) } end
    local edges = edges_of(40, list)
    local fixed = { [7] = 0, [9] = 1 }
    local expected, degree, pulling = {}, {}, 0
    for _, e in ipairs(list) do
      if e[1] ~= e[2] and e[3] > 0 and not (fixed[e[1]] and fixed[e[2]]) then
        for k = 1, 2 do degree[e[k]] = (degree[e[k]] or 0) + e[3] end
        pulling = pulling + 1
      end
    end
    for _, e in ipairs(list) do
      if e[1] ~= e[2] and e[3] > 0 and not (fixed[e[1]] and fixed[e[2]]) then
        local u, v = e[1], e[2]
        if fixed[u] then u, v = v, u end
        local key = ("%d %d %.5f %.5f"):format(u, v, e[3] / degree[u], fixed[v] and 0 or e[3] / degree[v])
        expected[key] = (expected[key] or 0) + 1
      end
    end
    local function deal(seed)
      local all, order = 0, {}
      local found = {}
      for part = 0, 2 do
        local problem = kernel.new("here", edges, fixed, 2)
        local count = problem:deal(seed, part, 3)
        assert.is_true(count > 0.2 * pulling and count < 0.5 * pulling)
        for i = 0, count - 1 do
          local e = problem.own[i]
          local key = ("%d %d %.5f %.5f"):format(e.source, e.target, e.pull_source, e.pull_target)
          found[key], all, order[#order + 1] = (found[key] or 0) + 1, all + 1, key
        end
      end
      assert.same(expected, found)
      assert.equal(pulling, all)
      return table.concat(order, ",")
    end
    assert.equal(deal(5), deal(5))
    assert.not_equal(deal(5), deal(6))
  end)

  it("deals in random order", function()
    local chain, rises = {}, 0
    for i = 1, 200 do chain[i] = { i - 1, i } end
    local problem = kernel.new("here", edges_of(201, chain), { [200] = 0 }, 1)
    assert.equal(200, problem:deal(1, 0, 1))
    for i = 1, 199 do rises = rises + (problem.own[i].source > problem.own[i - 1].source and 1 or 0) end
    assert.is_true(rises > 80 and rises < 120) -- 99.5 in the mean, deviation 4.1
  end)

  it("names the edge, vertex or label that is wrong", function()
    local function refused(pattern, vertices, list, fixed, labels)
      assert.error_matches(function() kernel.new("here", edges_of(vertices, list), fixed, labels or 2) end, pattern)
    end
    local ends = { [0] = 0, [1] = 1 }
    refused("here: edge 1: vertex 3 is not below 3", 3, { { 0, 1 }, { 3, 1 } }, ends)
    refused("edge 0: vertex 9 is not below 3", 3, { { 0, 9 } }, ends)
    refused("edge 1 from 2 to 1: the weight is %-1, not a finite number >= 0", 3, { { 0, 1 }, { 2, 1, -1 } }, ends)
    refused("edge 0 from 0 to 1: the weight is %-?nan", 3, { { 0, 1, 0 / 0 } }, ends)
    refused("edge 0 from 0 to 1: the weight is inf", 3, { { 0, 1, math.huge } }, ends)
    refused("the sum of all weights is not finite", 3, { { 0, 1, 1e308 }, { 0, 1, 1e308 } }, ends)
    refused("vertex 1: label 1 is not below 1", 3, { { 0, 1 } }, ends, 1)
    refused("no vertex is fixed to label 1", 3, { { 0, 1 } }, { [0] = 0, [1] = 2 }, 3)
    refused("257 labels are not between 1 and 256", 3, { { 0, 1 } }, ends, 257)
  end)
end)
