--- The quadratic model of a linear model's objective, and certificates: what Newton's method is made of.
-- @module epact.kernel.newton

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C

local double_out = ffi.new "double[1]"
local newton = {}

--- The sum of the loss; derivatives to u and curvatures to d (nil: not wanted).
function newton.terms(loss, n, t, y, u, d) return C.epact_newton_terms(loss, n, t, y, u, d) end

--- Moves the intercept to its best place, in t.
-- @treturn number the sum of the loss
-- @treturn number by how much the intercept moved
function newton.centre(loss, n, t, y, u, d)
  local sum = C.epact_newton_centre(loss, n, t, y, u, d, double_out)
  return sum, double_out[0]
end

--- An upper bound of F - min F.
function newton.gap(loss, n, u, y, sum, columns, c, w, l1, l2)
  return C.epact_newton_gap(loss, n, u, y, sum, columns, c, w, l1, l2, double_out)
end

--- The step to the minimum of the quadratic model; overwrites h.
function newton.step(size, penalised, h, gradient, w, l1, enough, step)
  return core.check(tonumber(C.epact_newton_step(size, penalised, h, gradient, w, l1, enough, step)), "newton")
end

--- Adds l2 to the first `columns` of the diagonal of h.
function newton.damp(h, size, columns, l2)
  for j = 0, columns - 1 do h[j * size + j] = h[j * size + j] + l2 end
end

--- l1 ||w||_1 + l2/2 ||w||^2 of the first `columns`.
function newton.penalty(w, columns, l1, l2)
  local sum1, sum2 = 0, 0
  for j = 0, columns - 1 do sum1, sum2 = sum1 + math.abs(w[j]), sum2 + w[j] * w[j] end
  return l1 * sum1 + l2 / 2 * sum2
end

--- g's + l1 (||w + s||_1 - ||w||_1): the slope along a step.
function newton.slope(size, columns, g, w, step, l1)
  local sum = linear.dot(size, g, step)
  if l1 == 0 then return sum end
  for j = 0, columns - 1 do sum = sum + l1 * (math.abs(w[j] + step[j]) - math.abs(w[j])) end
  return sum
end

return newton
