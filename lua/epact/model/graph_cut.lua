--- Graph cuts by Hogwild!: vertices get the labels for which the edges between different labels weigh least, when some
-- vertices have theirs.
--
--   minimise  sum over edges (u, v, w) of w ||x_u - x_v||_1,     x_v in the simplex of the labels, some x_v fixed
--
-- The relaxation's optimum is at most twice the smallest cut; with 2 labels it is that, and rounding finds the
-- cut. The rows x_v lie in memory that all workers share. Each worker goes over its share of the edges, dealt at
-- random, and makes the step of one edge after another, without a lock and without telling anybody:
--
--   each component of x_u moves by g w / d_u towards that of x_v, that of x_v by g w / d_v towards x_u,
--   or both to where they meet, when that is nearer;  x_u and x_v are projected on the simplex
--
-- where d_v is the weight of all edges of v: in an epoch they move it by at most g. (This is the proximal step of one
-- edge in a diagonal metric; without d vertices of light edges would hardly move before g is gone.) g is constant in an
-- epoch, then falls to g decay: the slower it falls, the nearer the optimum, above all where paths from the fixed
-- vertices are long (a vertex moves at most g / (1 - decay) in all). Edges without weight and loops cost
-- nothing; parallel edges and the two directions of one add up; what no fixed vertex reaches gets label 0.
--
-- Memory: 4 labels bytes a vertex for the job; each worker 16 bytes for each of its edges and 4 a vertex.
--
-- Sources: Niu, Recht, Re, Wright 2011 (Hogwild!); Calinescu, Karloff, Rabani 2000 (the relaxation).
-- @module epact.model.graph_cut

local core = require "epact.core"
local data = require "epact.data"
local epochs = require "epact.optim.epochs"
local kernel = require "epact.kernel.graph_cut"
local options = require "epact.options"
local partition = require "epact.partition"
local store = require "epact.model.store"

local graph_cut = {}

local known = {
  fixed = { "table", required = true }, -- vertex -> label, both from 0
  step = { "positive", 1 },             -- g of the first epoch: how far its edges pull a vertex
  decay = { "fraction", 0.95 },         -- of the step, an epoch
  epochs = { "count", 300 },
  tolerance = { "non_negative", 1e-4 }, -- of the objective's change in an epoch, relative; see `fit`
  name = { "string", "graph_cut" },     -- of its shared memory; a second model of the same job needs another
  on_report = { "function" },           -- called by worker 0 with { epoch, objective, cut, step, seconds }
}

local slices = 16 -- of a worker's edges; every epoch takes them in another order

local function check_edges(where, edges)
  if data.kind(edges) ~= "edges" then core.fail("%s: edges must be edges, got %s", where, options.show(edges)) end
end

-- The number of labels, from the largest that a vertex is fixed to.
local function check_fixed(fixed, vertices)
  local labels = 0
  for vertex, label in pairs(fixed) do
    if type(vertex) ~= "number" or vertex % 1 ~= 0 or vertex < 0 or vertex >= vertices then
      core.fail("graph_cut.fit: option 'fixed' has vertex %s, which is not one of 0 .. %d", options.show(vertex),
        vertices - 1)
    end
    if type(label) ~= "number" or label % 1 ~= 0 or label < 0 or label > 255 then
      core.fail("graph_cut.fit: option 'fixed' must give vertex %d a label in 0 .. 255, got %s", vertex,
        options.show(label))
    end
    labels = math.max(labels, label + 1)
  end
  if labels == 0 then
    core.fail "graph_cut.fit: option 'fixed' is empty: without fixed vertices nothing needs to be cut"
  end
  return labels
end

local function check_job(w)
  if w.size > 1 then
    core.fail("graph_cut.fit: the workers share memory, so they must be in one process; this job has %d", w.size)
  end
  if w.deterministic and w.workers > 1 then
    core.fail("graph_cut.fit: steps without locks are deterministic for one worker only; this job has %d", w.workers)
  end
end

local methods = {}
--- What `fit` returns.
graph_cut.Model = { __index = methods }

--- Labels the vertices of a graph; every worker of the job calls it with the same arguments. All workers must be in one
-- process. One worker gives the same bits again for the same seed of the job, several do not.
-- @param w the worker
-- @tparam epact_edges edges without weights: all 1
-- @tparam table given `fixed` (vertex -> label, both from 0; each label up to the largest must be there), `step` (1:
-- how far its edges pull a vertex in the first epoch), `decay` (of the step an epoch, 0.95), `epochs` (300),
-- `tolerance` (1e-4: ends when the objective has changed less, relatively, in each of three epochs with steps of at
-- most a tenth of the first), `name`, `on_report`
-- @treturn graph_cut.Model on every worker the same: `labels` (epact_dense, vertices x 1), `vertices`, `classes` (how
-- many labels), `objective` (of the relaxation), `cut` (the weight of the edges between different labels), `status`
-- ("CONVERGED": the objective rests; or "MAXITER") and `history`: a list of `{ epoch, objective, cut, step, seconds }`
function graph_cut.fit(w, edges, given)
  options.worker("graph_cut.fit", w)
  local o = options.read("graph_cut.fit", given, known)
  check_edges("graph_cut.fit", edges)
  local labels = check_fixed(o.fixed, edges.vertices)
  local problem = kernel.new("graph_cut.fit", edges, o.fixed, labels)
  check_job(w)
  w:claim("graph_cut.fit", o.name)
  local x = w:shared(o.name .. ".rows", edges.vertices * labels, "f32")
  local sums = w:shared(o.name .. ".sums", 2 * w.workers)
  local first_vertex, last_vertex = partition.equal(edges.vertices, w.id, w.workers)
  local first_edge, last_edge = partition.equal(edges.count, w.id, w.workers)
  local own, order, rng = problem:deal(w.seed, w.id, w.workers), {}, w:rng()
  for slice = 1, slices do order[slice] = slice end
  problem:begin(first_vertex, last_vertex, x)
  w:barrier()

  local function pass(step)
    for _, slice in ipairs(rng:shuffle(order)) do
      local from, to = partition.equal(own, slice - 1, slices)
      problem:steps(from, to, step, x)
    end
  end

  -- Between barriers nobody makes steps; the sums are added in the order of the workers.
  local function measure()
    w:barrier()
    problem:settle(first_vertex, last_vertex, x)
    w:barrier()
    sums[2 * w.id], sums[2 * w.id + 1] = problem:objective(first_edge, last_edge, x)
    w:barrier()
    local objective, cut = 0, 0
    for id = 0, w.workers - 1 do objective, cut = objective + sums[2 * id], cut + sums[2 * id + 1] end
    return objective, cut
  end

  local model = { vertices = edges.vertices, classes = labels, status = "MAXITER", history = {} }
  -- Early on the objective may rest while rows still move on, far from what is fixed.
  local function rests(before, now)
    local small = now.step <= 0.1 * o.step or o.decay == 1
    return small and math.abs(before.objective - now.objective) <= o.tolerance * now.objective
  end

  local begin = core.C.epact_now()
  for epoch = 1, o.epochs do
    local step = o.step * o.decay ^ (epoch - 1)
    pass(step)
    model.objective, model.cut = measure()
    model.history[epoch] = { epoch = epoch, objective = model.objective, cut = model.cut, step = step,
      seconds = core.C.epact_now() - begin }
    if w.id == 0 and o.on_report then o.on_report(model.history[epoch]) end
    if epochs.settled(model.history, epoch, rests) or model.objective == 0 then
      model.status = "CONVERGED"
      break
    end
  end
  model.labels = data.new("dense", edges.vertices, 1)
  problem:round(x, model.labels.value)
  w:barrier() -- the next one of this process may be given the same memory
  return setmetatable(model, graph_cut.Model)
end

--- The labels of some vertices, or of all.
-- @tparam ?table ids a list of vertices, from 0
-- @treturn epact_dense one label a row
function methods:predict(ids)
  if ids == nil then return self.labels:slice(0) end
  options.argument("graph_cut:predict", "ids", "table", ids)
  local found = data.new("dense", #ids, 1)
  for i, id in ipairs(ids) do
    options.argument("graph_cut:predict", "vertex", "index", id)
    if id >= self.vertices then
      core.fail("graph_cut:predict: vertex %d is not below %d", id, self.vertices)
    end
    found[i - 1] = self.labels[id]
  end
  return found
end

--- The weight of the cut: of the edges whose ends have different labels.
-- @tparam epact_edges edges of the same vertices: those of `fit`, or others
function methods:score(edges)
  check_edges("graph_cut:score", edges)
  if edges.vertices > self.vertices then
    core.fail("graph_cut:score: the edges have %d vertices, the model %d", edges.vertices, self.vertices)
  end
  local label, weighted, cut = self.labels.value, edges.weight ~= nil, 0
  for e = 0, edges.count - 1 do
    if label[edges.source[e]] ~= label[edges.target[e]] then cut = cut + (weighted and edges.weight[e] or 1) end
  end
  return cut
end

--- Writes the model to one file.
function methods:save(path) store.save(path, "graph_cut", self) end

--- Reads what `model:save` has written.
-- @treturn graph_cut.Model
function graph_cut.load(path) return setmetatable(store.load(path, "graph_cut"), graph_cut.Model) end

function graph_cut.Model:__tostring()
  return ("epact.graph_cut <%d vertices, %d labels, cut %g, relaxed %g, %s after %d epochs>"):format(self.vertices,
    self.classes, self.cut, self.objective, self.status, #self.history)
end

return graph_cut
