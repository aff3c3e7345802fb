--- What fits that go through all the data epoch after epoch share: when they have settled, and how they tell that they
-- diverged.
-- @module epact.optim.epochs

local epochs = {}

--- Have three epochs in a row changed little?
-- @tparam table history a list of entries
-- @tparam number n the last of these epochs
-- @tparam function is_near of two entries, one after the other
-- @treturn boolean
function epochs.settled(history, n, is_near)
  if n < 4 or #history < n then return false end
  for i = n - 2, n do
    if not is_near(history[i - 1], history[i]) then return false end
  end
  return true
end

--- As `epochs.settled`, by the objective: it changed by at most `tolerance` times what it was. With a tolerance of 0
-- never.
-- @tparam table history
-- @tparam number tolerance
-- @tparam[opt] number n
-- @treturn boolean
function epochs.objective_settled(history, tolerance, n)
  return tolerance > 0 and epochs.settled(history, n or #history, function(before, now)
    return math.abs(now.objective - before.objective) <= tolerance * math.abs(before.objective)
  end)
end

--- The first clock at which a worker has diverged. Each that has adds 1 + its clock to its cell of a row.
-- @param row a view
-- @tparam number first the cell of worker 0
-- @tparam number workers
-- @treturn ?number nil: none has
function epochs.first_divergence(row, first, workers)
  local clock
  for cell = first, first + workers - 1 do
    if row[cell] > 0 then clock = math.min(clock or math.huge, row[cell] - 1) end
  end
  return clock
end

--- What an error says of a step that was too long.
-- @tparam number step
-- @treturn string
function epochs.too_large(step)
  return ("the step %g is too large, try %g"):format(step, step / 4)
end

--- The error of a fit that diverged.
-- @tparam string where the function
-- @tparam number clock
-- @tparam number epoch
-- @tparam string reason
-- @treturn string
function epochs.diverged(where, clock, epoch, reason)
  return ("%s: diverged at clock %d (epoch %d): %s [E_DIVERGED]"):format(where, clock, epoch, reason)
end

return epochs
