--- What models refuse in their data: one wording for all.
--
-- All raise at the user's line; `where` is the function as the user called it, `name` the argument.
-- @module epact.model.checks

local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"

local checks = {}

--- Each number is finite.
function checks.finite(where, name, set)
  for i = 0, set.rows * set.cols - 1 do
    local value = set.value[i]
    if value - value ~= 0 then
      core.fail("%s: %s[%d][%d] is %g", where, name, math.floor(i / set.cols), i % set.cols, value)
    end
  end
end

--- A dense data set that is not empty and all finite, with so many columns (nil: any).
function checks.rows(where, name, X, columns)
  local kind = data.kind(X)
  if kind ~= "dense" then
    core.fail("%s: %s must be a dense data set, got %s", where, name, kind and tostring(X) or options.show(X))
  end
  if X.rows == 0 or X.cols == 0 then core.fail("%s: %s has no rows or no columns: %s", where, name, tostring(X)) end
  if X.rows >= 2 ^ 32 then core.fail("%s: %s has %d rows, more than fit 32 bits", where, name, X.rows) end
  if columns and X.cols ~= columns then
    core.fail("%s: %s has %d columns, the model knows %d", where, name, X.cols, columns)
  end
  checks.finite(where, name, X)
end

--- A data set, sparse or dense, that is not empty. Its values are not looked at.
function checks.matrix(where, X)
  local kind = data.kind(X)
  if kind ~= "sparse" and kind ~= "dense" then
    core.fail("%s: X must be a sparse or dense data set, got %s", where, options.show(X))
  end
  if X.rows == 0 or X.cols == 0 then core.fail("%s: X has no rows or no columns: %s", where, tostring(X)) end
end

--- A dense data set of rows x 1, all finite.
function checks.response(where, y, rows)
  if data.kind(y) ~= "dense" or y.cols ~= 1 or y.rows ~= rows then
    core.fail("%s: y must be a dense data set of %d x 1, got %s", where, rows, tostring(y))
  end
  for i = 0, rows - 1 do
    if y.value[i] - y.value[i] ~= 0 then core.fail("%s: y[%d] is %g", where, i, y.value[i]) end
  end
end

--- A dense, finite data set of rows x columns (nil: any).
function checks.targets(where, name, y, rows, columns)
  if data.kind(y) ~= "dense" or y.rows ~= rows or y.cols == 0 or (columns and y.cols ~= columns) then
    core.fail("%s: %s must be a dense data set of %d x %s, got %s", where, name, rows, columns or "outputs",
      data.kind(y) and tostring(y) or options.show(y))
  end
  checks.finite(where, name, y)
end

--- Labels are 0 .. classes-1; without a given number of classes each of them has to occur.
-- @treturn number classes
-- @treturn boolean whether all labels are the same
function checks.labels(where, name, y, classes)
  local count, most = {}, 0
  if (classes or 0) > 2 ^ 24 then core.fail("%s: at most 2^24 classes, got %d", where, classes) end
  for i = 0, y.rows - 1 do
    local label = y[i]
    if label < 0 or label % 1 ~= 0 or label >= (classes or 2 ^ 24) then
      core.fail("%s: %s[%d] is %g: labels are 0 .. %s", where, name, i, label,
        classes and ("%d"):format(classes - 1) or "classes-1")
    end
    count[label], most = (count[label] or 0) + 1, math.max(most, label)
  end
  for label = 0, classes and -1 or most do
    if not count[label] then
      core.fail("%s: the largest label in %s is %d, but none is %d: labels are 0 .. classes-1 (or give option "
        .. "'classes')", where, name, most, label)
    end
  end
  return classes or most + 1, next(count, next(count)) == nil
end

return checks
