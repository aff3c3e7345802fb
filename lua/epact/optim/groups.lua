--- Groups of columns, as the user gives them: a partition, or an error that names what is wrong.
-- @module epact.optim.groups

local core = require "epact.core"
local linear = require "epact.kernel.linear"
local options = require "epact.options"

local groups = {}

-- Lists of columns from the number of each column's group.
local function by_column(where, of, columns)
  local lists, last = {}, -1
  for j = 0, columns - 1 do
    local g = options.argument(where, ("the group of column %d"):format(j), "index", of[j])
    if g >= columns then core.fail("%s: column %d is in group %d, of at most %d", where, j, g, columns) end
    lists[g + 1] = lists[g + 1] or {}
    table.insert(lists[g + 1], j)
    last = math.max(last, g)
  end
  for key in pairs(of) do
    if type(key) ~= "number" or key % 1 ~= 0 or key < 0 or key >= columns then
      core.fail("%s: groups names column %s, X has %d", where, tostring(key), columns)
    end
  end
  for g = 0, last do
    if not lists[g + 1] then core.fail("%s: group %d has no columns", where, g) end
  end
  return lists
end

--- Reads groups.
-- @tparam string where the function as the user calls it
-- @tparam table given the number of each column's group, from 0, by column from 0: `{ [0] = 0, 0, 1 }`; or a list of
-- lists of columns: `{ { 0, 1 }, { 2 } }`, whose first group is group 0. Each column is in one group.
-- @tparam ?table weights a list, one a group; default: the square root of its size
-- @tparam number columns of X
-- @treturn table `count`, `start` (int64_t, count + 1), `member` (uint32_t), `weight` (double)
function groups.read(where, given, weights, columns)
  options.argument(where, "option 'groups'", "table", given)
  local first = given[0]
  if first == nil then first = given[1] end
  if first == nil then core.fail("%s: there are no groups", where) end
  local lists = type(first) == "table" and given or by_column(where, given, columns)
  local count = #lists
  if weights and #weights ~= count then core.fail("%s: %d weights for %d groups", where, #weights, count) end
  local start, member = linear.zeros(count + 1, "int64_t"), linear.zeros(columns, "uint32_t")
  local weight, of, at = linear.zeros(count), linear.zeros(columns, "uint32_t"), 0
  for g = 0, count - 1 do
    local list = options.argument(where, ("group %d"):format(g), "table", lists[g + 1])
    if #list == 0 then core.fail("%s: group %d has no columns", where, g) end
    for _, j in ipairs(list) do
      options.argument(where, ("a column of group %d"):format(g), "index", j)
      if j >= columns then core.fail("%s: group %d has the column %d, X has %d", where, g, j, columns) end
      if of[j] > 0 then core.fail("%s: column %d is in group %d and in group %d", where, j, of[j] - 1, g) end
      of[j], member[at], at = g + 1, j, at + 1
    end
    start[g + 1] = at
    weight[g] = weights and options.argument(where, ("the weight of group %d"):format(g), "positive", weights[g + 1])
      or math.sqrt(#list)
  end
  for j = 0, columns - 1 do
    if of[j] == 0 then core.fail("%s: column %d is in no group", where, j) end
  end
  return { count = count, start = start, member = member, weight = weight }
end

return groups
