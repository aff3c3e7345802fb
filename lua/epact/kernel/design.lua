--- The matrix of a linear model, and the sums over its rows that second-order methods are made of.
-- @module epact.kernel.design

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local sgd = require "epact.kernel.sgd"
local C = core.C

local methods = {}
local class = { __index = methods }

-- The weights of the columns as they are stored.
local function unscaled(self, w)
  if not self.scale then return w end
  for j = 0, self.columns - 1 do self.scratch[j] = self.scale[j] * w[j] end
  return self.scratch
end

--- t = X w + b, b the last of w.
function methods:times(w, t)
  C.epact_rows_predict(self.view, unscaled(self, w), self.constant == 1 and w[self.columns] or 0, t)
end

--- g = (X 1)'u.
function methods:gradient(u, g)
  ffi.fill(g, self.size * ffi.sizeof "double")
  C.epact_rows_combine(self.view, 1, u, g)
  for j = 0, self.scale and self.columns - 1 or -1 do g[j] = self.scale[j] * g[j] end
  for i = 0, self.constant * self.rows - 1 do g[self.columns] = g[self.columns] + u[i] end
end

--- The lower triangle of h = (X 1)'diag(d)(X 1), size x size.
function methods:hessian(d, h)
  C.epact_rows_hessian(self.view, self.constant, d, h)
  if not self.scale then return end
  local size, scale = self.size, self.scale
  for j = 0, size - 1 do
    local own = j < self.columns and scale[j] or 1
    for k = 0, math.min(j, self.columns - 1) do h[j * size + k] = own * scale[k] * h[j * size + k] end
  end
end

--- From now on column j is scale[j] x_j.
function methods:rescale(scale) self.scale, self.scratch = scale, linear.zeros(self.columns) end

--- Multiplications of one Hessian.
function methods:hessian_cost() return C.epact_rows_hessian_cost(self.view) end
--- Entries stored.
function methods:entries() return tonumber(C.epact_rows_entries(self.view)) end

function class:__tostring()
  return ("epact.design <%d x %d%s>"):format(self.rows, self.columns, self.constant == 1 and " with intercept" or "")
end

local design = {}

--- A design over a data set, which is checked and not copied.
-- @tparam string where the function as the user calls it
-- @param X sparse or dense
-- @tparam boolean intercept whether a column of ones is added at the end
function design.new(where, X, intercept)
  local view, ones = sgd.rows(where, X), ffi.new "int[1]"
  core.check(C.epact_rows_check(view, ones), where .. ": X")
  if ones[0] == 1 then view.value = nil end
  local constant = intercept and 1 or 0
  return setmetatable({
    view = view, keep = X, rows = X.rows, columns = X.cols, constant = constant, size = X.cols + constant,
    binary = ones[0] == 1,
  }, class)
end

local kinds = {
  squared = C.EPACT_SQUARED, huber = C.EPACT_HUBER, logistic = C.EPACT_LOGISTIC, hinge = C.EPACT_HINGE,
  squared_hinge = C.EPACT_SQUARED_HINGE, smoothed_hinge = C.EPACT_SMOOTHED_HINGE,
}

--- A loss by its name, with its width.
function design.loss(where, name, width)
  local loss = ffi.new("epact_loss", kinds[name], width)
  core.check(C.epact_loss_check(loss), where)
  return loss
end

--- Whether the labels of a loss are -1 and +1.
function design.classifies(loss) return C.epact_loss_classifies(loss) ~= 0 end

--- The labels of a loss: a double array, where 0 and 1 have become -1 and +1 when the loss classifies.
-- @treturn cdata `double *`
-- @treturn boolean whether there is but one class
function design.labels(where, loss, y)
  local n, labels, classifies = y.rows, linear.zeros(y.rows), design.classifies(loss)
  local zeros, negatives, positives = false, false, false
  for i = 0, n - 1 do
    local label = y.value[i]
    if label - label ~= 0 then core.fail("%s: y[%d] is %g", where, i, label) end
    if classifies then
      if label ~= 1 and label ~= -1 and label ~= 0 then
        core.fail("%s: y[%d] is %g, but labels must be -1 and 1, or 0 and 1", where, i, label)
      end
      zeros, negatives, positives = zeros or label == 0, negatives or label == -1, positives or label == 1
      if zeros and negatives then core.fail("%s: y[%d] is %g: labels are -1 and 1, or 0 and 1", where, i, label) end
    end
    labels[i] = (classifies and label == 0) and -1 or label
  end
  return labels, classifies and not (positives and (zeros or negatives))
end

return design
