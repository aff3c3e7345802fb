--- Random streams that can be split by (seed, stream, substream): SplitMix64.
-- @module epact.rng
-- @usage local rng = epact.rng(42, w.id); local u = rng:uniform()

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local methods = {}

--- Uniform on [0, 1).
function methods:uniform() return C.epact_rng_uniform(self) end
--- Uniform integer on 0 .. bound-1.
function methods:below(bound) return tonumber(C.epact_rng_below(self, bound)) end
--- Standard normal.
function methods:normal() return C.epact_rng_normal(self) end
--- As if `draws` numbers had been drawn.
function methods:jump(draws) C.epact_rng_jump(self, draws); return self end

--- Fisher-Yates shuffle of a Lua list, in place.
function methods:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:below(i) + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

local ctype = ffi.metatype("epact_rng", {
  __index = methods,
  __tostring = function(self)
    return ("epact.rng <counter 0x%s>"):format(bit.tohex(self.counter, 16))
  end,
})

--- A stream; the same three numbers give the same stream on every machine.
return function(seed, stream, substream)
  options.argument("epact.rng", "seed", "integer", seed or 0)
  return ctype(C.epact_rng_stream(seed or 0, stream or 0, substream or 0))
end
