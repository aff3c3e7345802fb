--- Losses of linear predictions, as objects.
--
-- `loss:value(t, y)`, `loss:derivative(t, y)` (in t; at a kink a subgradient), `loss.curvature` (a bound of the second
-- one, infinite for the hinge loss), `loss.classifies` (labels are -1 and +1), `loss.lipschitz` (the largest
-- |derivative|, where there is one). The built-in ones run inside the C kernels, your own (`loss.define`) in Lua.
-- @module epact.optim.loss
-- @usage local loss = require("epact.optim.loss").huber(1.5); print(loss:value(3, 0))

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local loss = {}
local methods = {}

loss.Loss = {
  __index = methods,
  __tostring = function(self)
    return ("epact.loss %s%s"):format(self.name, self.width and (" (width %g)"):format(self.width) or "")
  end,
}

local structs = setmetatable({}, { __mode = "k" })

--- The loss as the C kernels see it; nil for one that was defined in Lua.
function methods:native()
  if not self.kind then return nil end
  local struct = structs[self]
  if not struct then
    struct = ffi.new("epact_loss", self.kind, self.width or 1)
    structs[self] = struct
  end
  return struct
end

--- phi(t, y) of a prediction t.
function methods:value(t, y)
  if self.kind then return C.epact_loss_value(self:native(), t, y) end
  return self.value_of(t, y)
end

--- d phi / dt.
function methods:derivative(t, y)
  if self.kind then return C.epact_loss_derivative(self:native(), t, y) end
  return self.derivative_of(t, y)
end

local function native(name, kind, classifies, curvature, lipschitz, width)
  return setmetatable({ name = name, kind = kind, classifies = classifies, curvature = curvature, lipschitz = lipschitz,
    width = width }, loss.Loss)
end

--- (t - y)^2 / 2
function loss.squared() return native("squared", C.EPACT_SQUARED, false, 1) end

--- a^2 / 2 where |a| <= width, else width |a| - width^2 / 2, a = t - y.
function loss.huber(width)
  options.argument("loss.huber", "width", "positive", width)
  return native("huber", C.EPACT_HUBER, false, 1, width, width)
end

--- log(1 + exp(-y t))
function loss.logistic() return native("logistic", C.EPACT_LOGISTIC, true, 0.25, 1) end

--- max(0, 1 - y t)
function loss.hinge() return native("hinge", C.EPACT_HINGE, true, math.huge, 1) end

--- max(0, 1 - y t)^2 / 2
function loss.squared_hinge() return native("squared_hinge", C.EPACT_SQUARED_HINGE, true, 1) end

--- The hinge loss with a parabola of the given width instead of its kink.
function loss.smoothed_hinge(width)
  options.argument("loss.smoothed_hinge", "width", "positive", width)
  return native("smoothed_hinge", C.EPACT_SMOOTHED_HINGE, true, 1 / width, 1, width)
end

--- A loss of your own.
-- @tparam table given `name`, `value` and `derivative` (functions of t and y), `curvature` (a bound of the second
-- derivative; default: infinity), `classifies` (labels must be -1 and +1: false)
function loss.define(given)
  local o = options.read("loss.define", given, {
    name = { "string", "custom" }, value = { "function", required = true },
    derivative = { "function", required = true }, curvature = { "number", math.huge },
    classifies = { "boolean", false },
  })
  return setmetatable({ name = o.name, value_of = o.value, derivative_of = o.derivative, curvature = o.curvature,
    classifies = o.classifies }, loss.Loss)
end

local by_name = {
  squared = loss.squared, logistic = loss.logistic, hinge = loss.hinge, squared_hinge = loss.squared_hinge,
  huber = function() return loss.huber(1.35) end, smoothed_hinge = function() return loss.smoothed_hinge(0.5) end,
}

--- A loss from its name ("huber" has width 1.35, "smoothed_hinge" 0.5), or the loss itself.
function loss.of(where, given)
  if getmetatable(given) == loss.Loss then return given end
  local new = type(given) == "string" and by_name[given]
  if not new then
    local near = type(given) == "string" and options.nearest(given, by_name)
    core.fail("%s: option 'loss' must be a loss or the name of one, got %s%s", where, options.show(given),
      near and (" (did you mean '" .. near .. "'?)") or "")
  end
  return new()
end

return loss
