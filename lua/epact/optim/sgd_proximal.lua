--- Accelerated proximal gradient (FISTA: Beck and Teboulle 2009), an order of `epact.optim.sgd`: an update an epoch,
-- from the gradient of all rows of all workers, with any penalty, groups too.
--
--   w_k+1 <- prox_{eta}(v_k - eta (1/n) sum_i phi'(x_i'v_k + b, y_i) x_i),   v_k+1 <- w_k+1 + m_k (w_k+1 - w_k)
--
-- with m_k = (t_k - 1) / t_k+1, t_k+1 = (1 + sqrt(1 + 4 t_k^2)) / 2, and t = 1 again when w moves against v's way
-- (O'Donoghue and Candes 2015). Workers join their rows' gradients in a table; what follows from the sum each does for
-- itself, so that w is the same for all.
-- @module epact.optim.sgd_proximal

local ffi = require "ffi"
local kernel = require "epact.kernel.sgd"
local linear = require "epact.kernel.linear"
local tables = require "epact.optim.sgd_tables"

local proximal = {}

function proximal.prepare(fit)
  local size = fit.size
  fit.gradients = tables.open(fit, "gradient")
  fit.change, fit.gradient, fit.told = tables.room(fit, fit.gradients), linear.zeros(size), linear.zeros(size)
  fit.now, fit.before_now, fit.ahead, fit.momentum, fit.count = linear.zeros(size), linear.zeros(size),
    linear.zeros(size), 1, 0
end

function proximal:weights() return self.now end
function proximal:before() end

-- The sum of all workers' gradients at the point ahead; the table keeps sums, so that each publishes the difference.
function proximal:join(told)
  local p = self.p
  ffi.fill(self.gradient, self.size * ffi.sizeof "double")
  local sum = kernel.gradient(self.X, self.y, self.o.loss, self.ahead, self.ahead[p], 1, self.gradient)
  self.gradient[p] = self.o.intercept and sum or 0
  if not tables.publish(self.gradients, self.change, self.gradient, told, self.size, 1) then return false end
  ffi.copy(told, self.gradient, self.size * ffi.sizeof "double")
  return true
end

function proximal:learn() return self:join(self.told) end

function proximal:meet()
  self.w:barrier()
  if self.diverged then return self.now end
  local total, size, p, eta = self.gradients:all(), self.size, self.p, self.step:at(self.count)
  local old, new = self.now, self.before_now
  for j = 0, size - 1 do new[j] = self.ahead[j] - eta / self.n * total[j] end
  self.o.penalty:prox(new, p, eta * self.per_row)
  local against = 0
  for j = 0, size - 1 do against = against + (self.ahead[j] - new[j]) * (new[j] - old[j]) end
  local t = against > 0 and 1 or self.momentum
  self.momentum = (1 + math.sqrt(1 + 4 * t * t)) / 2
  for j = 0, size - 1 do self.ahead[j] = new[j] + (t - 1) / self.momentum * (new[j] - old[j]) end
  self.now, self.before_now, self.count = new, old, self.count + 1
  return new
end

function proximal:finish() end
function proximal:updates() return self.count end

return proximal
