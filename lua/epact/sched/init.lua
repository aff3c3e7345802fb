--- Orders: which variables a worker updates next.
--
-- A policy is a table with `next(k)`, which returns a list of at most k distinct variables (0-based), and maybe
-- `feed(vars, deltas)`, which tells it what the updates did. A filter is a policy around another one: a user's own
-- policy of ten lines will do. What it returns is checked.
-- @module epact.sched
-- @usage
-- local policy = epact.sched.dependency { columns = columns,
--   policy = epact.sched.priority { variables = columns.columns, seed = w.seed } }
-- while not done do
--   local vars = policy:next(64)        -- move most, disturb each other least
--   policy:feed(vars, update(vars))
-- end
-- @usage
-- -- a policy of one's own: downhill first, by a list that is sorted now and then
-- local own = { name = "steepest", at = 0 }
-- function own:next(k)
--   if self.at % variables == 0 then table.sort(order, function(a, b) return slope[a] > slope[b] end) end
--   local vars = {}
--   for i = 1, math.min(k, variables - self.at % variables) do
--     vars[i] = order[self.at % variables + 1]
--     self.at = self.at + 1
--   end
--   return vars
-- end
-- local policy = epact.sched.dependency { policy = own, columns = columns }
local estimates = require "epact.sched.estimates"

return {
  cyclic = require "epact.sched.cyclic",
  random = require "epact.sched.random",
  priority = require "epact.sched.priority",
  static = require "epact.sched.static",
  rotation = require "epact.sched.rotation",
  blocks = require "epact.sched.blocks",
  dependency = require "epact.sched.dependency",
  balance = require "epact.sched.balance",
  parallelism = estimates.parallelism,
  cluster = estimates.cluster,
  block_radius = estimates.block_radius,
}
