--- Proximal Newton steps on a working set of columns.
-- @module epact.kernel.active

local ffi = require "ffi"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local C = core.C

local methods = {}
local class = { __index = methods }
local double_out, int_out = ffi.new "double[1]", ffi.new "int[1]"

--- c_j = x_j'u of the columns that can become active; with `listed`, of the working set.
function methods:gradient(u, c, listed)
  C.epact_active_gradient(self.kernel, listed and self.list or nil, self.count, u, c)
end

--- Entries of the working set's columns: what a sweep costs; without `listed`, of all columns.
function methods:entries(listed)
  return tonumber(C.epact_active_entries(self.kernel, listed and self.list or nil, self.count))
end

--- Takes the columns that matter into the working set: all of the support, and at most `most` others.
-- @treturn number how many of them were not in it
function methods:choose(c, w, l1, most)
  local before, count, list = self.list, self.count, self.other
  self.list, self.other = list, before
  self.count = tonumber(C.epact_active_choose(self.kernel, c, w, l1, most, list, double_out))
  local new, at = 0, 0
  for k = 0, self.count - 1 do -- both rise
    while at < count and before[at] < list[k] do at = at + 1 end
    if at == count or before[at] ~= list[k] then new = new + 1 end
  end
  return new
end

--- A step on the working set, and X times it.
-- @treturn number the slope of the model along it
-- @treturn boolean whether the violations have fallen to the share
-- @treturn number sweeps
function methods:step(u, d, w, step, move, share)
  self.rule.share = share
  local sweeps = C.epact_active_step(self.kernel, self.rule, self.list, self.count, u, d, w, step, move, double_out,
    int_out)
  return double_out[0], int_out[0] ~= 0, core.check(tonumber(sweeps), "active")
end

--- The penalty's weights.
function methods:select(l1, l2) self.rule.l1, self.rule.l2 = l1, l2 end

--- l1 ||w||_1 + l2/2 ||w||^2 of the working set.
function methods:penalty(w, l1, l2)
  local list, sum1, sum2 = self.list, 0, 0
  for k = 0, self.count - 1 do
    local value = w[list[k]]
    sum1, sum2 = sum1 + math.abs(value), sum2 + value * value
  end
  return l1 * sum1 + l2 / 2 * sum2
end

--- The c_j and w_j of the working set, to part_c and part_w.
function methods:gather(c, w)
  local list, part_c, part_w = self.list, self.part_c, self.part_w
  for k = 0, self.count - 1 do part_c[k], part_w[k] = c[list[k]], w[list[k]] end
end

--- w = old + reach * step on the working set.
function methods:advance(old, reach, step, w)
  local list = self.list
  for k = 0, self.count - 1 do w[list[k]] = old[list[k]] + reach * step[list[k]] end
  for j = self.columns, self.size - 1 do w[j] = old[j] + reach * step[j] end
end

function class:__tostring() return ("epact.active kernel <%d of %d columns>"):format(self.count, self.columns) end

local active = {}

--- The columns of a design, ready to be swept. Takes `x.transposed`, the transpose of its data set, or makes it.
function active.new(x, loss, l1, l2, most_sweeps)
  local set = x.transposed or x.keep:transpose()
  local view = ffi.new("epact_columns", { rows = set.cols, columns = set.rows, value = set.value })
  if ffi.istype("epact_sparse", set) then view.start, view.index = set.start, set.index end
  local kernel = core.own(C.epact_active_new(view, loss, l1, x.scale), nil, "active")
  local able = tonumber(C.epact_active_columns(kernel))
  return setmetatable({
    kernel = kernel, keep = set, count = 0, columns = x.columns, size = x.size, list = linear.zeros(able, "uint32_t"),
    other = linear.zeros(able, "uint32_t"), part_c = linear.zeros(able), part_w = linear.zeros(able),
    rule = ffi.new("epact_active_options", { l1 = l1, l2 = l2, intercept = x.constant, most = most_sweeps }),
  }, class)
end

return active
