--- Proximal Newton steps on a working set of columns.
-- @module epact.kernel.active

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C

local methods = {}
local class = { __index = methods }
local double_out, int_out = ffi.new "double[1]", ffi.new "int[1]"

--- c_j = x_j'u of the columns that can become active.
function methods:gradient(u, c) C.epact_active_gradient(self.kernel, u, c) end

--- Takes the columns that matter into the working set: all of the support, and at most `most` others.
-- @treturn number the largest |c_j| - l1 of a w_j = 0
function methods:choose(c, w, l1, most)
  self.count = tonumber(C.epact_active_choose(self.kernel, c, w, l1, most, self.list, double_out))
  return double_out[0]
end

--- A step on the working set, and X times it.
-- @treturn number the slope of the model along it
-- @treturn boolean whether the violations have fallen to the share
function methods:step(u, d, w, step, move, share)
  self.rule.share = share
  local sweeps = C.epact_active_step(self.kernel, self.rule, self.list, self.count, u, d, w, step, move, double_out,
    int_out)
  core.check(tonumber(sweeps), "active")
  return double_out[0], int_out[0] ~= 0
end

--- w = old + reach * step on the working set.
function methods:advance(old, reach, step, w)
  local list = self.list
  for k = 0, self.count - 1 do w[list[k]] = old[list[k]] + reach * step[list[k]] end
  for j = self.columns, self.size - 1 do w[j] = old[j] + reach * step[j] end
end

function class:__tostring() return ("epact.active kernel <%d of %d columns>"):format(self.count, self.columns) end

local active = {}

--- The columns of a design, ready to be swept.
function active.new(x, loss, l1, l2, most_sweeps)
  local kernel = core.own(C.epact_active_new(x.view, loss, l1), nil, "active")
  return setmetatable({
    kernel = kernel, count = 0, columns = x.columns, size = x.size,
    list = linear.zeros(tonumber(C.epact_active_columns(kernel)), "uint32_t"),
    rule = ffi.new("epact_active_options", { l1 = l1, l2 = l2, intercept = x.constant, most = most_sweeps }),
  }, class)
end

return active
