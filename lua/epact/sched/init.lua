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
