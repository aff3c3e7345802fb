--- Relaxed graph cuts: steps on rows that workers share.
-- @module epact.kernel.graph_cut

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local graph_cut = {}

local methods = {}
local class = { __index = methods }

--- Rows first .. last - 1 of `x` (vertices x labels floats) as they are at the start.
function methods:begin(first, last, x) C.epact_cut_begin(self.graph, first, last, x) end

--- Takes this part of the edges, dealt at random: 16 bytes an edge.
-- @treturn number how many it has
function methods:deal(seed, part, parts)
  seed = ffi.cast("int64_t", seed)
  local degree = linear.zeros(self.edges.vertices)
  C.epact_cut_degrees(self.graph, degree)
  self.count = tonumber(C.epact_cut_deal(self.graph, degree, seed, part, parts, nil))
  self.own = linear.zeros(self.count, "epact_cut_edge")
  C.epact_cut_deal(self.graph, degree, seed, part, parts, self.own)
  return self.count
end

--- A step on each of the dealt edges first .. last - 1. All of them together move a vertex by `step` at most; more than
-- 1e30 would be infinite in a float.
function methods:steps(first, last, step, x)
  C.epact_cut_steps(self.own + first, last - first, self.graph.labels, math.min(step, 1e30), x)
end

--- Rows first .. last - 1 back on the simplex, where steps of others at the same time have left it.
function methods:settle(first, last, x) C.epact_cut_settle(self.graph.labels, first, last, x) end

--- Sums over the edges first .. last - 1.
-- @treturn number of w ||x_u - x_v||_1
-- @treturn number of w where the ends have different labels once rounded
function methods:objective(first, last, x)
  local objective = C.epact_cut_objective(self.graph, first, last, x, self.cut)
  return objective, self.cut[0]
end

--- The label of each vertex, written to a double array.
function methods:round(x, label)
  C.epact_cut_round(self.graph.labels, 0, tonumber(self.graph.vertices), x, label)
end

function class:__tostring()
  return ("epact.graph_cut problem <%d vertices, %d edges, %d labels>"):format(tonumber(self.graph.vertices),
    tonumber(self.graph.count), self.graph.labels)
end

--- A problem: checks edges and fixed labels, which are named where they are wrong.
-- @tparam string where the function as the user called it
-- @tparam epact_edges edges
-- @tparam table fixed vertex -> label, which are integers, vertices below `edges.vertices`
-- @tparam number labels
function graph_cut.new(where, edges, fixed, labels)
  local held = linear.zeros(edges.vertices, "int32_t")
  for v = 0, edges.vertices - 1 do held[v] = -1 end
  for vertex, label in pairs(fixed) do held[vertex] = label end
  local self = setmetatable({ held = held, edges = edges, cut = ffi.new "double[1]" }, class)
  self.graph = ffi.new("epact_cut_graph", edges.vertices, edges.count, labels, edges.source, edges.target, edges.weight,
    held)
  check(C.epact_cut_check(self.graph), where)
  return self
end

return graph_cut
