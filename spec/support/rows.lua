--- Small random problems for specs of linear models.
local data = require "epact.data"
local rng = require "epact.rng"

local rows = {}

--- `count` rows of `columns`, about `density` of them filled with normal numbers, and labels of a hidden plane with
-- noise: signs, or numbers.
-- @treturn epact_sparse
-- @treturn epact_dense
function rows.random(count, columns, density, kind, seed)
  local stream, index, value, start = rng(seed), {}, {}, { [0] = 0 }
  local y = data.new("dense", count, 1)
  for i = 0, count - 1 do
    local score = 0.3 * stream:normal()
    for j = 0, columns - 1 do
      if stream:uniform() < density then
        local x = stream:normal()
        index[#index + 1], value[#value + 1] = j, x
        score = score + x * ((j * 7) % 5 - 2) / 2
      end
    end
    start[i + 1] = #index
    y.value[i] = kind == "signs" and (score > 0 and 1 or -1) or score
  end
  local X = data.new("sparse", count, columns, #index)
  for i = 0, count do X.start[i] = start[i] end
  for k = 1, #index do X.index[k - 1], X.value[k - 1] = index[k], value[k] end
  return X, y
end

--- The same rows as a dense data set.
function rows.dense(X)
  local D = data.new("dense", X.rows, X.cols)
  for i = 0, X.rows - 1 do
    local index, value, count = X:row(i)
    for k = 0, count - 1 do D.value[i * X.cols + index[k]] = value[k] end
  end
  return D
end

return rows
