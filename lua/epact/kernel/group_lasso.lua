--- Block coordinate descent on groups of columns, with their coefficients and the residual.
-- @module epact.kernel.group_lasso

local ffi = require "ffi"
local core = require "epact.core"
local lasso = require "epact.kernel.lasso"
local linear = require "epact.kernel.linear"
local C = core.C

local methods = {}
local class = { __index = methods }

--- One visit to each active group.
function methods:sweep(lambda, l2)
  core.check(C.epact_group_lasso_sweep(self.kernel, self.active, self.count, lambda, l2, self.b, self.residual),
    self.where)
end

--- So many sweeps, and as a last one where they seem to lead.
function methods:sweeps(times, lambda, l2)
  for k = 0, times do
    if k > 0 then self:sweep(lambda, l2) end
    core.check(C.epact_group_lasso_keep(self.kernel, self.active, self.count, k == 0 and 1 or 0, self.b, self.residual),
      self.where)
  end
  C.epact_group_lasso_extrapolate(self.kernel, self.active, self.count, lambda, l2, self.b, self.residual)
end

--- Looks at the groups of the list (nil: all): remembers their correlations.
-- @treturn number the objective, when all other coefficients are 0
-- @treturn number an upper bound on how far it is above the minimum over these groups
function methods:look(lambda, l2, list, count)
  local certificate = self.certificate
  C.epact_lasso_residual(self.x.rows, self.y, self.residual, self.x.centred and 1 or 0, certificate)
  C.epact_group_lasso_correlations(self.kernel, list, count or 0, lambda, l2, self.b, self.residual, self.correlation,
    certificate)
  return lasso.gap(certificate, lambda, l2)
end

--- The largest ||x_g'rho|| / w_g of the last look.
function methods:largest_correlation() return self.certificate.largest_correlation end

--- Of the list (nil: all), the groups that are not 0 and at most `most` with a correlation above the level: to target.
-- @treturn number how many
function methods:choose(list, count, level, most, target)
  return tonumber(C.epact_group_lasso_choose(self.kernel, list, count or 0, level, math.min(most, 2 ^ 52), self.b,
    self.correlation, target))
end

--- The residual from the coefficients: what rounding has added is gone.
function methods:refresh()
  C.epact_group_lasso_residual(self.kernel, self.y, self.b, self.residual)
  if not self.x.centred then return end
  local n, sum = self.x.rows, 0
  for i = 0, n - 1 do sum = sum + self.residual[i] end
  self.shift = sum / n
  for i = 0, n - 1 do self.residual[i] = self.residual[i] - self.shift end
end

function class:__tostring()
  return ("epact.group_lasso kernel <%d groups, %s>"):format(tonumber(self.groups.groups), tostring(self.x))
end

local group_lasso = {}

--- Memory: 16 bytes a row, 16 a column, 44 a group; 8 |g| (|g| + 1) for a group that was active.
-- @tparam string where the function as the user calls it
-- @tparam table x `epact.kernel.columns`
-- @tparam cdata y `double *`
-- @tparam table groups `count`, `start`, `member`, `weight`, as of `epact.optim.groups`
function group_lasso.new(where, x, y, groups)
  local start, member, at = linear.zeros(groups.count + 1, "int64_t"), linear.zeros(x.columns, "uint32_t"), 0
  for g = 0, groups.count - 1 do -- a column that is constant has nothing to add
    for k = tonumber(groups.start[g]), tonumber(groups.start[g + 1]) - 1 do
      local j = groups.member[k]
      if x.squared_norm[j] > 0 then member[at], at = j, at + 1 end
    end
    start[g + 1] = at
  end
  local native = ffi.new("epact_column_groups", groups.count, start, member, groups.weight)
  local origin = 0
  if x.centred then
    local centred = linear.zeros(x.rows)
    for i = 0, x.rows - 1 do origin = origin + y[i] / x.rows end
    for i = 0, x.rows - 1 do centred[i] = y[i] - origin end
    y = centred
  end
  local self = setmetatable({ shift = 0, origin = origin,
    where = where, x = x, y = y, groups = native, keep = { start, member, groups }, b = linear.zeros(x.columns),
    residual = linear.zeros(x.rows), correlation = linear.zeros(groups.count), count = 0,
    active = linear.zeros(groups.count, "uint32_t"), candidates = linear.zeros(groups.count, "uint32_t"),
    certificate = ffi.new "epact_lasso_certificate",
    kernel = core.own(C.epact_group_lasso_new(x.view, native), nil, where),
  }, class)
  self:refresh()
  return self
end

return group_lasso
