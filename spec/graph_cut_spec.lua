--- Graph cuts by Hogwild!: equal to exact answers on small graphs, near them on an image, however workers interfere.
local epact = require "epact"
local data = require "epact.data"
local graph_cut = require "epact.model.graph_cut"
local min_cut = require "epact.optim.min_cut"
local process = require "support.process"
local rng = require "epact.rng"

local function edges_of(vertices, list)
  local edges = data.new("edges", vertices, #list, 1)
  for i, e in ipairs(list) do edges.source[i - 1], edges.target[i - 1], edges.weight[i - 1] = e[1], e[2], e[3] or 1 end
  return edges
end

local function fit(edges, given, run)
  return epact.run(run or { workers = 1, seed = 1 }, function(w) return graph_cut.fit(w, edges, given) end)
end

--- A random graph: loops, parallel edges and vertices without edges may be among it.
local function random_graph(vertices, count, seed)
  local stream, list = rng(seed), {}
  for i = 1, count do list[i] = { stream:below(vertices), stream:below(vertices), stream:uniform() } end
  return edges_of(vertices, list)
end

--- The smallest cut over all labellings.
local function enumerate(edges, fixed, labels)
  local label, best = {}, math.huge
  local function extend(v)
    if v == edges.vertices then
      local cut = 0
      for e = 0, edges.count - 1 do
        if label[edges.source[e]] ~= label[edges.target[e]] then cut = cut + edges.weight[e] end
      end
      best = math.min(best, cut)
      return
    end
    for l = fixed[v] or 0, fixed[v] or labels - 1 do
      label[v] = l
      extend(v + 1)
    end
  end
  extend(0)
  return best
end

--- A noisy disc of side x side pixels: likelihoods tie a pixel to label 0 or 1, the last two vertices.
local function noisy_disc(side, seed)
  local stream, list, last = rng(seed), {}, side * side
  for i = 0, side - 1 do
    for j = 0, side - 1 do
      local v = i * side + j
      if j + 1 < side then list[#list + 1] = { v, v + 1, 1 } end
      if i + 1 < side then list[#list + 1] = { v, v + side, 1 } end
      local inside = (i - side / 2) ^ 2 + (j - side / 2) ^ 2 < (side / 3) ^ 2
      local grey = (inside and 1 or -1) + 1.5 * stream:normal()
      list[#list + 1] = { v, grey > 0 and last + 1 or last, 2 * math.abs(grey) / 1.5 ^ 2 }
    end
  end
  return edges_of(last + 2, list), { [last] = 0, [last + 1] = 1 }
end

--- The weight of the edges between different labels.
local function weigh_cut(edges, label)
  local cut = 0
  for e = 0, edges.count - 1 do
    if label[edges.source[e]] ~= label[edges.target[e]] then cut = cut + edges.weight[e] end
  end
  return cut
end

describe("min_cut", function()
  it("is the smallest of all cuts, and its side has that weight", function()
    for seed = 1, 20 do
      local edges = random_graph(10, 10 + seed, seed)
      local value, side = min_cut(edges, { 0, 3 }, { 1 })
      assert.near(enumerate(edges, { [0] = 0, [3] = 0, [1] = 1 }, 2), value, 1e-12)
      assert.near(value, weigh_cut(edges, side), 1e-12)
      assert.same({ 0, 1, 0 }, { side[0], side[1], side[3] })
    end
  end)

  it("takes back more than it sent along a short path", function()
    -- 0-2-3-1 is the shortest path, and 2-3 has to carry as much the other way in the end.
    local edges = edges_of(8, { { 0, 2 }, { 2, 3 }, { 3, 1 }, { 0, 4, 2 }, { 4, 5, 2 }, { 5, 3, 2 }, { 2, 6, 2 },
      { 6, 7, 2 }, { 7, 1, 2 } })
    local value, side = min_cut(edges, { 0 }, { 1 })
    assert.equal(3, value)
    assert.equal(3, weigh_cut(edges, side))
  end)

  it("refuses vertices on both sides, or on none", function()
    local edges = edges_of(3, { { 0, 1 }, { 1, 2, -1 } })
    local function refused(pattern, ...)
      local given = { ... }
      assert.error_matches(function() min_cut(unpack(given)) end, pattern)
    end
    refused("edge 1 from 1 to 2 with weight %-1", edges, { 0 }, { 1 })
    refused("vertex 1 is a source and a sink", edges, { 1 }, { 0, 1 })
    refused("sinks must have a vertex", edges, { 1 }, {})
    refused("sources has vertex 3", edges, { 3 }, { 1 })
    refused("edges must be edges, got 3", 3, { 0 }, { 1 })
  end)
end)

describe("graph cuts", function()
  it("are the smallest of 20 random graphs, and cost twice that relaxed", function()
    for seed = 1, 20 do
      local edges = random_graph(12, 30, seed)
      local exact = min_cut(edges, { 0 }, { 1 })
      local model = fit(edges, { fixed = { [0] = 0, [1] = 1 }, decay = 0.99, epochs = 2000, tolerance = 1e-6 },
        { workers = 1, seed = seed })
      assert.near(exact, model.cut, 1e-9)
      assert.near(2 * exact, model.objective, 0.01 * exact + 1e-3)
      assert.is_true(model.objective > 2 * exact - 1e-5)
      assert.equal("CONVERGED", model.status)
    end
  end)

  it("with 3 labels lie between the relaxation and 12/11 of it", function()
    for seed = 1, 10 do
      local edges, fixed = random_graph(9, 24, seed), { [0] = 0, [1] = 1, [2] = 2 }
      local exact = enumerate(edges, fixed, 3)
      local model = fit(edges, { fixed = fixed, decay = 0.99, epochs = 2000, tolerance = 1e-6 })
      assert.is_true(model.cut > exact - 1e-9)
      assert.is_true(model.cut < 12 / 11 * exact)
      assert.is_true(model.objective < 2 * exact * 1.005, ("%g, %g"):format(model.objective, 2 * exact))
      assert.is_true(model.objective > 11 / 12 * 2 * exact)
    end
  end)

  it("cost less relaxed than any labelling where the gap of the relaxation is open", function()
    -- Three terminals, between each two of them a vertex tied to both by 2, and these three a triangle of weight 1.
    -- Half and half the three cost 6 * 2 + 3 * 1; any labelling cuts at least 8.
    local edges = edges_of(6, { { 0, 3, 2 }, { 1, 3, 2 }, { 1, 4, 2 }, { 2, 4, 2 }, { 2, 5, 2 }, { 0, 5, 2 }, { 3, 4 },
      { 4, 5 }, { 5, 3 } })
    local fixed = { [0] = 0, [1] = 1, [2] = 2 }
    local model = fit(edges, { fixed = fixed, decay = 0.99, epochs = 2000, tolerance = 1e-7 })
    assert.equal(8, enumerate(edges, fixed, 3))
    assert.near(15, model.objective, 0.02)
    assert.is_true(model.cut >= 8)
  end)

  it("segment a noisy image as the exact cut does", function()
    local edges, fixed = noisy_disc(24, 1)
    local exact, side = min_cut(edges, { 576 }, { 577 })
    local model = fit(edges, { fixed = fixed, decay = 0.99, epochs = 1000, tolerance = 1e-6 })
    assert.near(exact, model.cut, 1e-9)
    assert.near(2 * exact, model.objective, 0.01 * exact)
    for v = 0, edges.vertices - 1 do assert.equal(side[v], model.labels[v]) end
  end)

  for _, workers in ipairs { 2, 4 } do
    it(("are within 2 %% of the optimum with %d workers"):format(workers), function()
      local edges, fixed = noisy_disc(32, workers)
      local exact = min_cut(edges, { 1024 }, { 1025 })
      local model = fit(edges, { fixed = fixed }, { workers = workers, seed = 1 })
      assert.is_true(model.objective > 2 * exact * (1 - 1e-6))
      assert.is_true(model.objective < 2 * exact * 1.02, ("%g, %g"):format(model.objective, 2 * exact))
      assert.is_true(model.cut >= exact - 1e-9 and model.cut < 1.02 * exact)
      assert.near(model.cut, model:score(edges), 1e-9)
    end)
  end

  it("part a karate club where it parted, but for one member, as Zachary found", function()
    local edges = data.edges "examples/data/karate.edges"
    local _, sides = data.csv("examples/data/karate.sides.csv", { label = "side" })
    local model = fit(edges, { fixed = { [0] = 0, [33] = 1 } })
    assert.equal(22, model.cut)
    local wrong = {}
    for v = 0, 33 do
      if model.labels[v] ~= sides[v] then wrong[#wrong + 1] = v end
    end
    assert.same({ 8 }, wrong)
  end)

  it("have the same bits for the same seed and one worker", function()
    local edges, fixed = noisy_disc(16, 3)
    local function bits(seed)
      local text = {}
      for i, now in ipairs(fit(edges, { fixed = fixed, epochs = 20 }, { workers = 1, seed = seed }).history) do
        text[i] = ("%.17g %.17g"):format(now.objective, now.cut)
      end
      return table.concat(text, ",")
    end
    assert.equal(bits(4), bits(4))
    assert.not_equal(bits(4), bits(5))
  end)

  it("tell their history, the same to every worker, and stop when nothing changes", function()
    local edges, fixed = noisy_disc(16, 3)
    local _, report = epact.run({ workers = 2, seed = 1 }, function(w)
      local told = {}
      local model = graph_cut.fit(w, edges, { fixed = fixed, step = 0.5, decay = 0.9, tolerance = 0.01,
        on_report = function(now) told[#told + 1] = now.epoch end })
      return model, #told
    end)
    local one, other = report.results[0], report.results[1]
    local last = one[1].history[#one[1].history]
    assert.same({ #one[1].history, 0 }, { one[2], other[2] })
    assert.same(one[1].history[3].objective, other[1].history[3].objective)
    for v = 0, edges.vertices - 1 do assert.equal(one[1].labels[v], other[1].labels[v]) end
    assert.equal("CONVERGED", one[1].status)
    assert.is_true(last.epoch > 3 and last.epoch < 60 and last.seconds > 0)
    assert.same({ one[1].objective, one[1].cut }, { last.objective, last.cut })
    assert.near(0.5 * 0.9 ^ (last.epoch - 1), last.step, 1e-12)
    assert.equal("MAXITER", fit(edges, { fixed = fixed, epochs = 3 }).status)
  end)

  it("are not given up while the objective rests and rows still move", function()
    local chain = {}
    for v = 0, 28 do chain[v + 1] = { v, v + 1, v == 10 and 0.5 or 1 } end -- 2 until both ends have heard of the middle
    local model = fit(edges_of(30, chain), { fixed = { [0] = 0, [29] = 1 }, decay = 0.99, epochs = 1000 })
    assert.near(2, model.history[4].objective, 1e-5)
    assert.is_true(model.objective < 1.5)
    assert.equal(0.5, model.cut)
    assert.equal("CONVERGED", model.status)
  end)

  it("predict, are written and read back", function()
    local edges = edges_of(5, { { 0, 1, 2 }, { 1, 2, 1 }, { 2, 3, 4 }, { 3, 3, 7 } })
    local model = fit(edges, { fixed = { [0] = 0, [3] = 1 } })
    local labels = model.labels
    assert.same({ 0, 0, 1, 1, 0 }, { labels[0], labels[1], labels[2], labels[3], labels[4] })
    local some = model:predict { 3, 1 }
    assert.same({ 2, 1, 1, 0 }, { some.rows, some.cols, some[0], some[1] })
    assert.equal(5, model:predict().rows)
    assert.equal(1, model:score(edges))
    assert.equal(10, model:score(edges_of(4, { { 0, 3, 10 }, { 0, 1, 20 } })))
    assert.matches("epact.graph_cut <5 vertices, 2 labels, cut 1, relaxed 2", tostring(model))
    local path = os.tmpname()
    model:save(path)
    local loaded = graph_cut.load(path)
    assert.equal(tostring(model), tostring(loaded))
    for v = 0, 4 do assert.equal(model.labels[v], loaded:predict()[v]) end
    process.run(("truncate -s -1 %s"):format(path))
    assert.error_matches(function() graph_cut.load(path) end, "graph_cut.load: .* is not whole.*%[E_PARSE%]")
    os.remove(path)
    assert.error_matches(function() model:predict { 5 } end, "vertex 5 is not below 5")
    assert.error_matches(function() model:predict(3) end, "ids must be a table, got 3")
    assert.error_matches(function() model:score(data.new("edges", 6, 0, 0)) end, "have 6 vertices, the model 5")
  end)

  it("are defined where there is nothing to cut", function()
    local function check(objective, cut, edges, fixed, run)
      local model = fit(edges, { fixed = fixed }, run)
      assert.near(objective, model.objective, 1e-4)
      assert.near(cut, model.cut, 1e-12)
      assert.equal("CONVERGED", model.status)
      return model
    end
    local loops = edges_of(3, { { 1, 1, 5 }, { 0, 1, 0 }, { 2, 0, 0 } }) -- loops, and edges without weight
    check(0, 0, loops, { [0] = 0, [2] = 1 })
    check(0, 0, edges_of(2, {}), { [0] = 0, [1] = 1 })
    check(7, 3.5, edges_of(3, { { 0, 1, 3 }, { 1, 2, 2 }, { 0, 2, 0.5 } }), { [0] = 0, [1] = 1, [2] = 0 } and
      { [0] = 0, [1] = 1, [2] = 1 })                                      -- all fixed
    check(0, 0, edges_of(4, { { 0, 1 }, { 1, 2 } }), { [0] = 0 })         -- one label
    check(4, 2, edges_of(3, { { 0, 2 }, { 2, 0 }, { 2, 1 }, { 1, 2 }, { 1, 2 } }), { [0] = 0, [1] = 1 }) -- parallel
    check(2, 1, edges_of(3, { { 0, 2 }, { 2, 1, 2 } }), { [0] = 0, [1] = 1 }, { workers = 1 }) -- few edges
    assert.equal(1, fit(edges_of(3, { { 0, 2 }, { 2, 1, 2 } }), { fixed = { [0] = 0, [1] = 1 } }, { workers = 4 }).cut)
    assert.equal(1, fit(edges_of(3, { { 0, 2 }, { 2, 1, 2 } }), { fixed = { [0] = 0, [1] = 1 }, step = 1e300 }).cut)
    local unweighted = data.new("edges", 3, 3, 0)
    for e, ends in ipairs { { 0, 2 }, { 2, 1 }, { 1, 2 } } do
      unweighted.source[e - 1], unweighted.target[e - 1] = ends[1], ends[2]
    end
    local model = check(2, 1, unweighted, { [0] = 0, [1] = 1 })
    assert.equal(1, model:score(unweighted))
  end)

  it("need fixed vertices, one process, and no promise of the same bits for several workers", function()
    local edges = edges_of(3, { { 0, 1 }, { 1, 2, 2 } })
    local function refused(pattern, of, given, run)
      assert.error_matches(function() fit(of, given, run) end, pattern)
    end
    refused("option 'fixed' is required", edges, {})
    refused("option 'fixed' is empty", edges, { fixed = {} })
    refused("vertex 3, which is not one of 0 .. 2", edges, { fixed = { [3] = 0 } })
    refused('vertex "a", which is not', edges, { fixed = { a = 0 } })
    refused("must give vertex 1 a label in 0 .. 255, got 0.5", edges, { fixed = { [1] = 0.5 } })
    refused("must give vertex 1 a label in 0 .. 255, got 256", edges, { fixed = { [1] = 256 } })
    refused("graph_cut.fit: no vertex is fixed to label 0", edges, { fixed = { [1] = 1 } })
    refused("unknown option 'steps' %(did you mean 'step'%?%)", edges, { fixed = { [0] = 0 }, steps = 3 })
    refused("edges must be edges, got 3", 3, { fixed = { [0] = 0 } })
    refused("graph_cut.fit: edge 1 from 1 to 2: the weight is %-2", edges_of(3, { { 0, 1 }, { 1, 2, -2 } }),
      { fixed = { [0] = 0 } })
    refused("deterministic for one worker only; this job has 2", edges, { fixed = { [0] = 0 } },
      { workers = 2, deterministic = true })
    assert.equal(0, fit(edges, { fixed = { [0] = 0 } }, { workers = 1, deterministic = true }).cut)
    assert.error_matches(function()
      epact.run({ workers = 1 }, function(w)
        for _ = 1, 2 do graph_cut.fit(w, edges, { fixed = { [0] = 0 } }) end
      end)
    end, "give the model another name")
    local root = os.tmpname()
    os.remove(root)
    local script = ("EPACT_RANK=%%d EPACT_SIZE=2 EPACT_ROOT=ipc://%s luajit examples/graph_cut.lua --workers 1"):format(
      root)
    local said, code = process.run(("%s & %s; code=$?; wait; exit $code"):format(script:format(1), script:format(0)))
    assert.not_equal(0, code)
    assert.matches("must be in one process; this job has 2", said)
  end)
end)
