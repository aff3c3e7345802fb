--- A worker's rows of a linear model for scheduled coordinate descent: gradients of some columns, moves along them.
-- @module epact.kernel.coordinate

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

local function reserve(self, count)
  if count <= self.room then return end
  self.room = math.max(count, 2 * self.room)
  self.id, self.product, self.change = linear.zeros(self.room, "uint32_t"), linear.zeros(self.room),
    linear.zeros(self.room)
end

local function take_ids(self, vars)
  local count = #vars
  reserve(self, count)
  for k = 1, count do self.id[k - 1] = vars[k] end
  return count
end

--- This worker's part of x_j'u for the columns of a list.
-- @treturn cdata doubles, overwritten by the next call
function methods:products(vars)
  local count = take_ids(self, vars)
  check(C.epact_coordinate_products(self.state, self.id, count, self.product), "products")
  return self.product
end

--- Moves along the columns of a list by a list of changes.
function methods:move(vars, changes)
  local count = take_ids(self, vars)
  for k = 1, count do self.change[k - 1] = changes[k] end
  check(C.epact_coordinate_move(self.state, self.id, count, self.change), "move")
end

--- t = X b + offset anew, and u.
-- @treturn number the sum of the loss over this worker's rows
function methods:predict(b, offset) return C.epact_coordinate_predict(self.state, b, offset) end

--- Adds to all t.
-- @treturn number the sum of the loss
-- @treturn number of u, of |u|, of the curvatures, and the rows
function methods:shift(offset)
  local s, d, slope, size, curvature = self.state, self.d, 0, 0, 0
  for i = 0, self.rows - 1 do s.t[i] = s.t[i] + offset end
  local loss = C.epact_newton_terms(s.loss, self.rows, s.t, s.y, s.u, d)
  for i = 0, self.rows - 1 do slope, size, curvature = slope + s.u[i], size + math.abs(s.u[i]), curvature + d[i] end
  s.u_sum = slope
  return loss, slope, size, curvature, self.rows
end

--- This worker's part of x_j'u for all columns.
function methods:gradient(to) C.epact_coordinate_gradient(self.state, to) end

--- This worker's part of the sum of phi*(scale u_i, y_i).
function methods:conjugate(scale)
  local s = self.state
  return C.epact_newton_conjugate(s.loss, self.rows, s.u, s.y, scale)
end

local coordinate = {}

--- @tparam table x columns of this worker's rows (`epact.kernel.columns`)
-- @param loss `epact_loss`
-- @param y doubles, one for each row; kept alive by the caller
function coordinate.new(x, loss, y)
  local rows = x.rows
  local self = setmetatable({ x = x, y = y, rows = rows, room = 0, d = linear.zeros(rows), t = linear.zeros(rows),
    u = linear.zeros(rows) }, class)
  local squared = loss.kind == C.EPACT_SQUARED
  self.state = ffi.new("epact_coordinate", { x = x.view, loss = loss, y = y, t = self.t, u = self.u,
    column_sum = squared and x.column_sum or nil })
  reserve(self, 64)
  return self
end

return coordinate
