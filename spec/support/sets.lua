--- Data sets of specs, from Lua lists and functions.
local data = require "epact.data"

local sets = {}

--- rows x cols of f(i, j), both from 0.
function sets.dense_of(rows, cols, f)
  local X = data.new("dense", rows, cols)
  for i = 0, rows - 1 do
    for j = 0, cols - 1 do X.value[i * cols + j] = f(i, j) end
  end
  return X
end

--- A list of rows, which may lack zeros at their end; `cols`: default, as the first row has.
function sets.dense(rows, cols)
  return sets.dense_of(#rows, cols or #rows[1], function(i, j) return rows[i + 1][j + 1] or 0 end)
end

--- A list as a data set of one column.
function sets.vector(list)
  return sets.dense_of(#list, 1, function(i) return list[i + 1] end)
end

--- What of a dense data set is not 0.
function sets.sparse_of(X)
  local count, at = 0, 0
  for e = 0, X.rows * X.cols - 1 do count = count + (X.value[e] ~= 0 and 1 or 0) end
  local S = data.new("sparse", X.rows, X.cols, count)
  for i = 0, X.rows - 1 do
    for j = 0, X.cols - 1 do
      local x = X.value[i * X.cols + j]
      if x ~= 0 then S.index[at], S.value[at], at = j, x, at + 1 end
    end
    S.start[i + 1] = at
  end
  return S
end

--- The same from a list of rows.
function sets.sparse(rows, cols) return sets.sparse_of(sets.dense(rows, cols)) end

return sets
