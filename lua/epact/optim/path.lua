--- A model at a falling sequence of penalties: which ones, and the list of what was found.
-- @module epact.optim.path

local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"

local path = {}

--- Options of a path, besides those of its solver.
function path.known(solver)
  local known = {
    lambdas = { "count", 100 },     -- how many
    ratio = { "positive" },         -- of the last to the first; default 1e-4 with rows >= columns, else 1e-2
    path = { "table" },             -- or the penalties themselves, in any order
  }
  for name, rule in pairs(solver) do
    if name ~= "lambda" and name ~= "lambda_ratio" then known[name] = rule end
  end
  return known
end

--- The penalties, falling.
-- @tparam string where the function as the user calls it
-- @tparam table o its options
-- @tparam number largest the least penalty at which all coefficients are 0
-- @tparam number rows
-- @tparam number columns
-- @treturn table a list of `{ penalty, place }`, the place in the order of the user
function path.penalties(where, o, largest, rows, columns)
  local list = {}
  if o.path then
    if #o.path == 0 then core.fail("%s: option 'path' is empty", where) end
    for k, lambda in ipairs(o.path) do
      list[k] = { options.argument(where, ("path[%d]"):format(k), "non_negative", lambda), k }
    end
    table.sort(list, function(a, b) return a[1] > b[1] or (a[1] == b[1] and a[2] < b[2]) end)
    return list
  end
  local ratio = o.ratio or (rows >= columns and 1e-4 or 1e-2)
  if ratio > 1 then core.fail("%s: option 'ratio' must be at most 1, got %g", where, ratio) end
  for k = 1, o.lambdas do
    list[k] = { largest * ratio ^ (o.lambdas == 1 and 1 or (k - 1) / (o.lambdas - 1)), k }
  end
  return list
end

--- The coefficients that are not 0, as a data set of 1 x `columns`.
-- @tparam number columns
-- @tparam function each calls what it is given with the column and the coefficient of each of them, in any order
-- @treturn epact_sparse
function path.row(columns, each)
  local list = {}
  each(function(j, value) list[#list + 1] = { j, value } end)
  table.sort(list, function(a, b) return a[1] < b[1] end)
  local row = data.new("sparse", 1, columns, #list)
  for i, pair in ipairs(list) do row.index[i - 1], row.value[i - 1] = pair[1], pair[2] end
  row.start[1] = #list
  return row
end

--- The same from all coefficients, a `double *`, each multiplied by its scale where there is one.
function path.sparse(b, columns, scale)
  return path.row(columns, function(visit)
    for j = 0, columns - 1 do
      if b[j] ~= 0 then visit(j, scale and scale[j] * b[j] or b[j]) end
    end
  end)
end

--- The same as a data set of columns x 1.
function path.dense(row)
  local all = data.new("dense", row.cols, 1)
  for k = 0, row.count - 1 do all.value[row.index[k]] = row.value[k] end
  return all
end

local methods = {}
local class = { __index = methods }

--- The coefficients of point `k` (from 1): an `epact_dense` of columns x 1.
function methods:coefficients(k)
  local point = self[k]
  if not point then core.fail("path:coefficients: there are points 1 .. %d, got %s", #self, options.show(k)) end
  return path.dense(point.coefficients)
end

function class:__tostring()
  local explained = self[1] and self[1].explained
  local lines = { ("epact.%s path <%d penalties, %d columns, lambda_max %g>"):format(self.model, #self, self.columns,
    self.lambda_max), ("  point      lambda  nonzeros     objective%s       gap  status"):format(
    explained and "  explained" or "") }
  for k, point in ipairs(self) do
    if #self <= 24 or k <= 8 or k > #self - 8 or k % math.ceil(#self / 10) == 0 then
      local share = explained and (" %10.4f"):format(point.explained) or ""
      lines[#lines + 1] = ("%7d %11.5g %9d %13.7g%s %9s  %s"):format(k, point.lambda, point.nonzeros, point.objective,
        share, point.gap and ("%.1e"):format(point.gap) or "-", point.status)
    end
  end
  if self.ended then lines[#lines + 1] = "  ended: " .. self.ended end
  return table.concat(lines, "\n")
end

--- A path from its points: each `lambda`, `nonzeros`, `objective`, `gap`, `status`, `coefficients` (`path.row`), and
-- maybe `explained` (share of y's variance).
-- @tparam table points a list, with `lambda_max`
-- @tparam string model its name
-- @tparam number columns
function path.new(points, model, columns)
  points.model, points.columns = model, columns
  return setmetatable(points, class)
end

return path
