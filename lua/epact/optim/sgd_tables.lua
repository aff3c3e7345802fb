--- The tables of `epact.optim.sgd`: vectors as long as the weights and the bias.
-- @module epact.optim.sgd_tables

local core = require "epact.core"
local linear = require "epact.kernel.linear"

local tables = {}

local block = 4096 -- numbers a row: so that rows, and with them shards, share the work

--- A vector of the fit, shared by all workers.
function tables.open(fit, name)
  local rows = math.ceil(fit.size / block)
  return fit.w:table(fit.o.name .. "." .. name, { rows = rows, cols = math.ceil(fit.size / rows), push = fit.o.push })
end

--- Zeros for what is published to such a table.
function tables.room(_, table) return linear.zeros(table.rows * table.cols) end

--- Publishes `share` of how far `now` is from `view`.
-- @return false when that is not finite: the descent has diverged
function tables.publish(table, change, now, view, size, share)
  for j = 0, size - 1 do change[j] = (now[j] - view[j]) * share end
  local finite, reason = pcall(table.inc_all, table, change)
  if not finite and core.error_code(reason) ~= "E_NONFINITE" then error(reason, 0) end
  return finite
end

return tables
