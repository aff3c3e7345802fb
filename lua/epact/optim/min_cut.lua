--- The smallest cut between two sets of vertices, exactly, by a maximum flow on one thread: what a relaxation of two
-- labels has to reach.
--
-- Phases: the distance of each vertex from the sources along arcs that are not full (breadth first), then paths along
-- growing distances until each of them has a full arc. At most as many phases as vertices; 56 bytes an edge.
--
-- Source: Dinic 1970.
-- @module epact.optim.min_cut

local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local options = require "epact.options"

-- Edge e is the arcs 2 e, from its source, and 2 e + 1, from its target, with its weight as the capacity of both. The
-- arcs that leave a vertex v are arc[start[v] .. start[v + 1] - 1].
local function network_of(edges)
  local n, m = edges.vertices, edges.count
  local head, arc = linear.zeros(2 * m, "uint32_t"), linear.zeros(2 * m, "int64_t")
  local capacity, start = linear.zeros(2 * m), linear.zeros(n + 2, "int64_t")
  local source, target, weight = edges.source, edges.target, edges.weight
  for e = 0, m - 1 do
    local w = weight ~= nil and weight[e] or 1
    if source[e] >= n or target[e] >= n or not (w >= 0 and w < math.huge) then
      core.fail("min_cut: edge %d from %d to %d with weight %g: vertices must be below %d, weights finite and >= 0", e,
        source[e], target[e], w, n)
    end
    head[2 * e], head[2 * e + 1], capacity[2 * e], capacity[2 * e + 1] = target[e], source[e], w, w
    start[source[e] + 2] = start[source[e] + 2] + 1
    start[target[e] + 2] = start[target[e] + 2] + 1 -- after the other: a loop has two arcs at one vertex
  end
  for v = 2, n + 1 do start[v] = start[v] + start[v - 1] end
  for a = 0, 2 * m - 1 do
    local from = head[bit.bxor(a, 1)] + 1
    arc[start[from]], start[from] = a, start[from] + 1
  end
  return { vertices = n, head = head, arc = arc, capacity = capacity, start = start,
    distance = linear.zeros(n, "int32_t"), queue = linear.zeros(n, "uint32_t"), next = linear.zeros(n, "int64_t") }
end

-- Distances from the sources, from 1; 0: out of reach. True when a sink is in reach.
local function measure(net, sources, is_sink)
  local distance, queue, first, last, reached = net.distance, net.queue, 0, 0, false
  for v = 0, net.vertices - 1 do distance[v] = 0 end
  for _, v in ipairs(sources) do
    if distance[v] == 0 then distance[v], queue[last], last = 1, v, last + 1 end
  end
  while first < last do
    local v = queue[first]
    first = first + 1
    reached = reached or is_sink[v]
    for k = tonumber(net.start[v]), tonumber(net.start[v + 1]) - 1 do
      local a = net.arc[k]
      local u = net.head[a]
      if net.capacity[a] > 0 and distance[u] == 0 then
        distance[u], queue[last], last = distance[v] + 1, u, last + 1
      end
    end
  end
  return reached
end

-- Fills one path from `source` to a sink along growing distances; its flow, 0 when there is none left.
local function augment(net, source, is_sink, path)
  local capacity, next_arc, distance, depth, v = net.capacity, net.next, net.distance, 0, source
  while not is_sink[v] do
    local found
    while next_arc[v] < net.start[v + 1] and not found do
      local a = net.arc[next_arc[v]]
      if capacity[a] > 0 and distance[net.head[a]] == distance[v] + 1 then found = tonumber(a)
      else next_arc[v] = next_arc[v] + 1 end
    end
    if found then
      depth, v = depth + 1, net.head[found]
      path[depth] = found
    elseif depth == 0 then
      return 0
    else
      v = net.head[bit.bxor(path[depth], 1)] -- back, and past the arc that led nowhere
      depth, next_arc[v] = depth - 1, next_arc[v] + 1
    end
  end
  local flow = math.huge
  for i = 1, depth do flow = math.min(flow, capacity[path[i]]) end
  for i = 1, depth do
    local a = path[i]
    capacity[a], capacity[bit.bxor(a, 1)] = capacity[a] - flow, capacity[bit.bxor(a, 1)] + flow
  end
  return flow
end

local function check_vertices(name, list, edges, taken)
  options.argument("min_cut", name, "table", list)
  if #list == 0 then core.fail("min_cut: %s must have a vertex", name) end
  for _, v in ipairs(list) do
    options.argument("min_cut", name, "index", v)
    if v >= edges.vertices then
      core.fail("min_cut: %s has vertex %d, which is not below %d", name, v, edges.vertices)
    end
    if taken[v] then core.fail("min_cut: vertex %d is a source and a sink", v) end
  end
end

--- The smallest cut that parts all of `sources` from all of `sinks`.
-- @tparam epact_edges edges of no direction; without weights: all 1
-- @tparam table sources a list of vertices, from 0
-- @tparam table sinks another
-- @treturn number the weight of the cut
-- @treturn epact_dense vertices x 1: 0 on the sources' side, 1 elsewhere
return function(edges, sources, sinks)
  if data.kind(edges) ~= "edges" then core.fail("min_cut: edges must be edges, got %s", options.show(edges)) end
  local is_source, is_sink, path, total = {}, {}, {}, 0
  check_vertices("sources", sources, edges, {})
  for _, v in ipairs(sources) do is_source[v] = true end
  check_vertices("sinks", sinks, edges, is_source)
  for _, v in ipairs(sinks) do is_sink[v] = true end
  local net = network_of(edges)
  while measure(net, sources, is_sink) do
    for v = 0, edges.vertices - 1 do net.next[v] = net.start[v] end
    for source in pairs(is_source) do
      repeat
        local flow = augment(net, source, is_sink, path)
        total = total + flow
      until flow == 0
    end
  end
  local side = data.new("dense", edges.vertices, 1)
  for v = 0, edges.vertices - 1 do side.value[v] = net.distance[v] == 0 and 1 or 0 end
  return total, side
end
