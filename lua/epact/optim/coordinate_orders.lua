--- The orders of scheduled coordinate descent. Private to `epact.optim.coordinate`.
--
-- Each says how many coordinates step together (`parallel`), the most variables of a phase (`most`), and on worker 0
-- has the policy. Correlations need whole columns: worker 0 looks at those of all rows.
-- @module epact.optim.coordinate_orders

local columns = require "epact.kernel.columns"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local sched = require "epact.sched"

local orders = {}
local makers = {}

local function whole_columns(fit, X)
  return columns.new(fit.where, X:transpose(), { intercept = fit.x.centred, standardise = fit.o.standardise })
end

function makers.cyclic(fit)
  return { policy = sched.cyclic { variables = fit.columns }, parallel = 1 }
end

function makers.random(fit)
  return { policy = sched.random { variables = fit.columns, seed = fit.w.seed }, parallel = 1 }
end

--- P* = p / (2 rho) of Bradley et al.: the progress that is guaranteed for a phase is largest there.
function makers.shotgun(fit, X)
  local policy = sched.random { variables = fit.columns, seed = fit.w.seed }
  return { policy = policy, parallel = fit.o.parallel or sched.parallelism(whole_columns(fit, X)).workers }
end

--- The members of some random blocks of correlated columns; `block` says of which block each column is.
function makers.greedy(fit, X)
  local count = math.min(fit.o.blocks, fit.columns)
  local clusters = sched.cluster(whole_columns(fit, X), { blocks = count })
  local blocks = sched.blocks { block = clusters, seed = fit.w.seed }
  local policy = {
    next = function(_, k)
      local vars = {}
      for _, b in ipairs(blocks:next(math.min(k, count))) do
        local member, members = blocks:members(b)
        for i = 0, members - 1 do vars[#vars + 1] = member[i] end
      end
      return vars
    end,
  }
  return { policy = policy, parallel = count, block = clusters.block,
    most = math.min(fit.columns, (fit.o.parallel or count) * math.ceil(fit.columns / count)) }
end

function makers.dynamic(fit, X)
  local policy = sched.dependency {
    policy = sched.priority { variables = fit.columns, seed = fit.w.seed },
    columns = whole_columns(fit, X), rho = fit.o.rho, candidates = 2,
    flight = math.max(65536, (2 * fit.o.depth + 3) * (fit.o.parallel or 32)),
  }
  return { policy = policy, parallel = 32 }
end

local function make(fit, X)
  local order = fit.o.order
  if type(order) == "table" and type(order.next) == "function" then return { policy = order, parallel = 32 } end
  return makers[order](fit, X)
end

--- The order of a fit: every worker calls it.
function orders.make(fit, X)
  local given, order = fit.o.order, nil
  if not makers[given] and not (type(given) == "table" and type(given.next) == "function") then
    core.fail("%s: option 'order' must be one of cyclic, random, shotgun, greedy, dynamic, or a policy, got %s",
      fit.where, options.show(given))
  end
  if fit.w.id == 0 then order = make(fit, X) end
  order = order or {}
  local parallel = fit.o.parallel or order.parallel or 0
  order.parallel, order.most = fit:add { fit.w.id == 0 and parallel or 0, order.most or 0 }
  if order.most == 0 then order.most = order.parallel end
  order.parallel = math.min(order.parallel, fit.columns)
  if given == "greedy" then
    local own = linear.zeros(fit.columns)
    for j = 0, order.block and fit.columns - 1 or -1 do own[j] = order.block[j] end
    local shared = fit.many:of { column = own }.column
    order.block = linear.zeros(fit.columns, "uint32_t")
    for j = 0, fit.columns - 1 do order.block[j] = shared[j] end
  end
  order.description = type(given) == "string" and given or tostring(given)
  return order
end

return orders
