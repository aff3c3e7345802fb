--- How sparse a problem is for Hogwild!, and what the theorem promises for it.
--
-- A sum of terms f(x) = sum_e f_e(x_e) is a hypergraph: its vertices are the variables (columns, vertices of a graph),
-- an edge e is the variables of one term (the non-zeros of a row, the two ends of an edge). Of E edges,
--
--   Omega = max |e|,   Delta = max_v |{e : v in e}| / E,   rho = max_e |{e' : e' meets e}| / E   (e meets itself)
--
-- say how large terms are, how many share a variable, and how many a term can disturb. Lock-free workers help where
-- Delta and rho are small.
--
-- Source: Niu, Recht, Re, Wright 2011.
-- @module epact.optim.sparsity
-- @usage
-- local statistics = sparsity.statistics(X)
-- print(statistics, sparsity.hogwild(statistics, { eps = 0.01, c = 1, L = 2, M = 3, tau = 8, D0 = 4 }))

local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local options = require "epact.options"

local sparsity = {}

-- A graph, or ratings, as rows of two entries (a loop: of one).
local function rows_of_pairs(from, to, vertices, offset, count)
  local rows, at = data.new("sparse", count, vertices, 2 * count), 0
  for e = 0, count - 1 do
    local u, v = from[e], to[e] + offset
    rows.index[at], at = math.min(u, v), at + 1
    if u ~= v then rows.index[at], at = math.max(u, v), at + 1 end
    rows.start[e + 1] = at
  end
  return rows
end

local function rows_of(X)
  local kind = data.kind(X)
  if kind == "sparse" then return X end
  if kind == "edges" then return rows_of_pairs(X.source, X.target, X.vertices, 0, X.count) end
  if kind == "ratings" then return rows_of_pairs(X.user, X.item, X.users + X.items, X.users, X.count) end
  return core.fail("sparsity.statistics: expected sparse rows, edges or ratings, got %s", options.show(X))
end

local function degrees_of(rows)
  local degree, size = linear.zeros(rows.cols), 0
  for e = 0, rows.rows - 1 do
    local first, last = tonumber(rows.start[e]), tonumber(rows.start[e + 1])
    size = math.max(size, last - first)
    for k = first, last - 1 do
      if rows.index[k] >= rows.cols then
        core.fail("sparsity.statistics: edge %d has vertex %d of %d", e, rows.index[k], rows.cols)
      end
      degree[rows.index[k]] = degree[rows.index[k]] + 1
    end
  end
  local most = 0
  for v = 0, rows.cols - 1 do most = math.max(most, degree[v]) end
  return degree, size, most
end

-- As many edges as e can meet at most: 1 + sum over its vertices of degree - 1; and all edges in the order of that, the
-- largest first.
local function bounds_of(rows, degree)
  local count = rows.rows
  local bound, start, order = linear.zeros(count), linear.zeros(count + 2), linear.zeros(count, "uint32_t")
  for e = 0, count - 1 do
    local sum = 1
    for k = tonumber(rows.start[e]), tonumber(rows.start[e + 1]) - 1 do sum = sum + degree[rows.index[k]] - 1 end
    bound[e] = math.min(sum, count)
    start[count - bound[e] + 1] = start[count - bound[e] + 1] + 1
  end
  for place = 1, count do start[place] = start[place] + start[place - 1] end
  for e = 0, count - 1 do
    local place = count - bound[e]
    order[start[place]], start[place] = e, start[place] + 1
  end
  return bound, order
end

-- The most edges that one meets, between `low` and `high`, by marking whom an edge meets: first those that may meet
-- most, until no other can meet more, or `work` visits are spent.
local function most_met(rows, degree, low, work)
  local bound, order = bounds_of(rows, degree)
  local columns, met
  for i = 0, rows.rows - 1 do
    local e, visits = order[i], 0
    if bound[e] <= low then break end
    local first, last = tonumber(rows.start[e]), tonumber(rows.start[e + 1]) - 1
    for k = first, last do visits = visits + degree[rows.index[k]] end
    work = work - visits
    if work < 0 then return low, bound[e] end
    columns = columns or rows:transpose()
    met = met or linear.zeros(rows.rows, "uint32_t")
    local count, start, row = last < first and 1 or 0, columns.start, columns.index
    for k = first, last do
      local v = rows.index[k]
      for place = tonumber(start[v]), tonumber(start[v + 1]) - 1 do
        local other = row[place]
        if met[other] ~= e + 1 then met[other], count = e + 1, count + 1 end
      end
    end
    low = math.max(low, count)
  end
  return low, low
end

--- What `statistics` returns.
sparsity.Statistics = {
  __tostring = function(self)
    local rho = self.rho_least == self.rho and ("%.4g"):format(self.rho)
      or ("%.4g .. %.4g"):format(self.rho_least, self.rho)
    return ("epact.sparsity <%d edges, %d vertices: Omega %d, Delta %.4g, rho %s>"):format(self.edges, self.vertices,
      self.omega, self.delta, rho)
  end,
}

--- Omega, Delta and rho. O(non-zeros) but for rho, which is searched for where it can be: exactly, while that takes at
-- most `work` visits of a non-zero; then between two bounds. Memory: 8 bytes a column, 20 a row, 12 a non-zero (for
-- edges and ratings 24 more for each).
-- @tparam epact_sparse X or epact_edges (their two ends), or epact_ratings (user and item)
-- @tparam ?table given `work` (1e8: a second or less; 0: bounds alone)
-- @treturn sparsity.Statistics `edges`, `vertices`, `omega`, `delta`, `rho` (an upper bound when it is above
-- `rho_least`), `rho_least`
function sparsity.statistics(X, given)
  local o = options.read("sparsity.statistics", given, { work = { "non_negative", 1e8 } })
  local rows = rows_of(X)
  local count = rows.rows
  if count == 0 then core.fail("sparsity.statistics: there are no rows: %s", tostring(X)) end
  local degree, size, most = degrees_of(rows)
  local low, high = most_met(rows, degree, math.max(1, most), o.work)
  return setmetatable({ edges = count, vertices = rows.cols, omega = size, delta = most / count, rho = high / count,
    rho_least = low / count }, sparsity.Statistics)
end

--- What `hogwild` returns.
sparsity.Promise = {
  __tostring = function(self)
    return ("epact.hogwild <constant step %.4g: f - f* <= %g expected after %.4g steps; %.3g times as many as without "
      .. "lag, and a step %.3g times smaller>"):format(self.step, self.eps, self.steps, self.slower, self.smaller)
  end,
}

--- The theorem: with this constant step the expected f(x_k) - f* is at most eps from step k on.
--
--   step = theta eps c / (2 L M^2 Omega (1 + 6 rho tau + 4 tau^2 Omega sqrt(Delta)))
--   k   >= 2 L M^2 Omega (1 + 6 rho tau + 6 tau^2 Omega sqrt(Delta)) log(L D0 / eps) / (c^2 theta eps)
--
-- @tparam table statistics of `statistics`; or `omega`, `delta`, `rho`
-- @tparam table given `eps`; `c` (f is strongly convex with this modulus), `L` (its gradient's Lipschitz constant), `M`
-- (the largest norm of a term's subgradient, times the number of terms), `tau` (the most steps by which what a worker
-- has read may be old: about the number of workers), `theta` (in (0, 1), 0.9), `D0` (||x_0 - x*||^2)
-- @treturn sparsity.Promise `step`, `steps`, `eps`, and against no lag: `slower`, `smaller` (factors)
function sparsity.hogwild(statistics, given)
  local required = { "positive", required = true }
  local o = options.read("sparsity.hogwild", given, { eps = required, c = required, L = required, M = required,
    D0 = required, tau = { "non_negative", required = true }, theta = { "positive", 0.9 } })
  if o.theta >= 1 then core.fail("sparsity.hogwild: option 'theta' must be in (0, 1), got %g", o.theta) end
  if o.L < o.c then core.fail("sparsity.hogwild: no f has L = %g below c = %g", o.L, o.c) end
  if type(statistics) ~= "table" or not (statistics.omega and statistics.delta and statistics.rho) then
    core.fail("sparsity.hogwild: expected what sparsity.statistics returns, got %s", options.show(statistics))
  end
  local omega, crowd = statistics.omega, o.tau ^ 2 * statistics.omega * math.sqrt(statistics.delta)
  local smaller = 1 + 6 * statistics.rho * o.tau + 4 * crowd
  local slower = 1 + 6 * statistics.rho * o.tau + 6 * crowd
  local scale = 2 * o.L * o.M ^ 2 * omega
  local step = o.theta * o.eps * o.c / (scale * smaller)
  if step * o.c >= 1 then
    core.fail("sparsity.hogwild: the theorem needs step * c < 1, but with eps = %g it is %g: take a smaller eps", o.eps,
      step * o.c)
  end
  local steps = scale * slower * math.log(o.L * o.D0 / o.eps) / (o.c ^ 2 * o.theta * o.eps)
  return setmetatable({ step = step, steps = math.max(0, math.ceil(steps)), eps = o.eps, slower = slower,
    smaller = smaller }, sparsity.Promise)
end

return sparsity
