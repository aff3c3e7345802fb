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
function methods:below(bound)
  options.argument("rng:below", "bound", "count", bound)
  return tonumber(C.epact_rng_below(self, bound))
end
--- Standard normal.
function methods:normal() return C.epact_rng_normal(self) end
--- As if `draws` numbers had been drawn.
function methods:jump(draws) C.epact_rng_jump(self, draws); return self end

--- Where the stream is, as a string for `rng:restore`.
function methods:state() return ffi.string(self, ffi.sizeof(self)) end
--- Puts the stream where it was at `rng:state`.
function methods:restore(state)
  if type(state) ~= "string" or #state ~= ffi.sizeof(self) then
    core.fail("rng:restore: the state must be a string of rng:state, got %s", options.show(state))
  end
  ffi.copy(self, state, #state)
  return self
end

--- Fisher-Yates shuffle of a Lua list, in place.
function methods:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:below(i) + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

ffi.metatype("epact_rng", {
  __index = methods,
  __tostring = function(self)
    return ("epact.rng <counter 0x%s>"):format(bit.tohex(self.counter, 16))
  end,
})

--- A stream; the same three numbers give the same stream on every machine.
-- @tparam[opt=0] number seed an integer, as the next two
-- @tparam[opt=0] number stream
-- @tparam[opt=0] number substream
return function(seed, stream, substream)
  local function word(name, value) -- through int64_t, so that negative numbers keep their bits
    return ffi.cast("uint64_t", ffi.cast("int64_t", options.argument("epact.rng", name, "integer", value or 0)))
  end
  return C.epact_rng_stream(word("seed", seed), word("stream", stream), word("substream", substream))
end
