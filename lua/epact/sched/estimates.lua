--- How many variables may be updated at the same time, and which had better not be: estimates from the columns.
--
-- Let rho be the largest eigenvalue of X'X, the columns being centred, where the model does that, and of norm 1: from
-- 1 where they are orthogonal to p where all are the same. If each round moves P coordinates, drawn uniformly, by the
-- steps that each would make alone, the objective is expected to fall while (P - 1) (rho - 1) / (p - 1) < 1, and falls
-- most in a round where P is about p / (2 rho). With one coordinate of each of P of B blocks it is the same with B for
-- p and, for rho, the largest such eigenvalue of B columns, one of each block: so put together what correlates.
--
-- Sources: Bradley, Kyrola, Bickson, Guestrin 2011 (Shotgun); Scherrer, Tewari, Halappanavar, Haglin 2012.
-- @module epact.sched.estimates
-- @usage
-- local estimate = epact.sched.parallelism(columns)
-- print(estimate, estimate.workers)

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local rng = require "epact.rng"
local C = core.C

local estimates = {}

local function check_columns(where, columns)
  if type(columns) ~= "table" or type(columns.columns) ~= "number" or not columns.squared_norm then
    core.fail("%s: the first argument must be an epact.columns, got %s", where, options.show(columns))
  end
end

--- What `parallelism` returns.
estimates.Parallelism = {
  __tostring = function(self)
    return ("epact.parallelism <%d at a time of %d; rho %.4g, %s %d iterations>"):format(self.workers, self.variables,
      self.rho, self.converged and "after" or "still rising after", self.iterations)
  end,
}

-- A power iteration's result is from below: by so much it is taken to be too small.
local inflation = 1.05

--- How many coordinates, drawn uniformly, may be moved at the same time: P* = max(1, floor(p / (2 rho))).
--
-- rho is the result of a power iteration, which is a lower bound, times 1.05 (at most p). Each iteration costs two
-- passes over the entries; memory: 16 bytes a column and 8 a row.
-- @tparam epact.columns columns
-- @tparam ?table given `tolerance` (1e-6: the relative change at which to stop), `max_iterations` (1000), `seed` (0)
-- @treturn estimates.Parallelism `workers` (P*), `rho`, `radius` (before it was inflated), `limit` (the largest P of
-- which a fall is expected), `iterations`, `converged`, `variables`
function estimates.parallelism(columns, given)
  check_columns("sched.parallelism", columns)
  local o = options.read("sched.parallelism", given, {
    tolerance = { "positive", 1e-6 }, max_iterations = { "count", 1000 }, seed = { "integer", 0 },
  })
  local p = columns.columns
  local v, w, u = linear.zeros(p), linear.zeros(p), linear.zeros(columns.rows)
  local found = C.epact_spectral_radius(columns.view, columns.squared_norm, p, nil, o.tolerance, o.max_iterations,
    rng(o.seed), v, w, u)
  local rho = math.max(1, math.min(p, inflation * found.radius))
  local limit = rho > 1 and math.min(p, math.ceil((p - 1) / (rho - 1))) or p -- the largest P below (p-1)/(rho-1) + 1
  return setmetatable({
    workers = math.max(1, math.floor(p / (2 * rho))), rho = rho, radius = found.radius, limit = limit,
    iterations = tonumber(found.iterations), converged = found.converged ~= 0, variables = p,
  }, estimates.Parallelism)
end

--- What `cluster` returns.
estimates.Clusters = {
  __tostring = function(self)
    return ("epact.clusters <%d variables in %d blocks>"):format(self.variables, self.blocks)
  end,
}

--- Blocks of correlated columns, of equal size: each begins with the next column that has none (of sparse ones that
-- with most entries) and takes those that correlate most with it. Costs blocks / 2 passes over the entries.
-- @tparam epact.columns columns
-- @tparam table given `blocks`
-- @treturn estimates.Clusters `block` (`uint32_t[variables]`: the block of each column), `blocks`, `variables`
function estimates.cluster(columns, given)
  check_columns("sched.cluster", columns)
  local o = options.read("sched.cluster", given, { blocks = { "count", required = true } })
  local block = linear.zeros(columns.columns, "uint32_t")
  core.check(C.epact_cluster_columns(columns.view, columns.squared_norm, o.blocks, block), "sched.cluster")
  return setmetatable({ block = block, blocks = o.blocks, variables = columns.columns }, estimates.Clusters)
end

-- The columns of each block, as lists.
local function members_of(columns, clusters)
  if type(clusters) ~= "table" or clusters.variables ~= columns.columns or not clusters.block then
    core.fail("sched.block_radius: the second argument must be what sched.cluster returned for these columns, got %s",
      type(clusters) == "table" and tostring(clusters) or options.show(clusters))
  end
  local members = {}
  for b = 0, clusters.blocks - 1 do members[b] = {} end
  for j = 0, clusters.variables - 1 do
    local list = members[clusters.block[j]]
    if not list then
      core.fail("sched.block_radius: the block of variable %d is %s, of %d", j, options.show(clusters.block[j]),
        clusters.blocks)
    end
    list[#list + 1] = j
  end
  for b = 0, clusters.blocks - 1 do
    if #members[b] == 0 then core.fail("sched.block_radius: block %d of %d has no variable", b, clusters.blocks) end
  end
  return members
end

--- An estimate, from below, of rho of the blocks: the largest eigenvalue of the correlations of one column of each
-- block, over random choices. P of B blocks may be moved at the same time while (P - 1) (rho - 1) / (B - 1) < 1.
-- @tparam epact.columns columns
-- @tparam estimates.Clusters clusters
-- @tparam ?table given `draws` (300), `seed` (0)
-- @treturn number
function estimates.block_radius(columns, clusters, given)
  check_columns("sched.block_radius", columns)
  local o = options.read("sched.block_radius", given, { draws = { "count", 300 }, seed = { "integer", 0 } })
  local members, stream, blocks = members_of(columns, clusters), rng(o.seed), clusters.blocks
  local id = ffi.new("uint32_t[?]", blocks)
  local v, w, u, most = linear.zeros(blocks), linear.zeros(blocks), linear.zeros(columns.rows), 0
  for _ = 1, o.draws do
    for b = 0, blocks - 1 do id[b] = members[b][1 + stream:below(#members[b])] end
    local found = C.epact_spectral_radius(columns.view, columns.squared_norm, blocks, id, 1e-6, 1000, stream, v, w, u)
    most = math.max(most, found.radius)
  end
  return most
end

return estimates
