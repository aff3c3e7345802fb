--- A dictionary, codes of signals in it, and its update.
-- @module epact.kernel.sparse_coding

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local C = core.C
local check = core.check

local sparse_coding = {}

local rounds = 200 -- looks at a signal, of which a few are enough

--- Refuses what is no dense data set of finite numbers with a row and a column.
-- @tparam string where the function as the user called it
-- @tparam string name of the argument
-- @tparam epact_dense X
function sparse_coding.check(where, name, X)
  if data.kind(X) ~= "dense" then
    core.fail("%s: %s must be a dense data set, got %s", where, name, data.kind(X) and tostring(X) or options.show(X))
  end
  if X.rows == 0 or X.cols == 0 then core.fail("%s: %s has no rows or no columns", where, name) end
  check(C.epact_sparse_coding_check(name, X.rows, X.cols, X.value), where)
end

local methods = {}
local class = { __index = methods }

--- A dictionary of `atoms` rows of `dims` doubles, `value`, zeros at first.
function sparse_coding.dictionary(atoms, dims)
  local stride = math.ceil(atoms / 8) * 8
  local atom, gram = linear.zeros(atoms * dims, "float"), linear.zeros(atoms * stride, "float")
  return setmetatable({ atoms = atoms, dims = dims, stride = stride, value = linear.zeros(atoms * dims),
    view = ffi.new("epact_dictionary", atoms, dims, stride, atom, gram), keep = { atom, gram },
    dead = ffi.new("int32_t[?]", atoms) }, class)
end

--- To be called when `value` has changed: from now on codes are for it.
function methods:refresh()
  C.epact_dictionary_set(self.view, self.value)
  return self
end

--- Room for the codes of some signals: `stride` floats each, zeros.
function methods:codes(signals) return linear.zeros(signals * self.stride, "float") end

--- Encodes signals, from the codes that are there.
-- @tparam cdata signal doubles, `dims` each
-- @tparam number signals
-- @tparam number l1
-- @tparam number gap the duality gap to reach, in units of 1/2 ||x||^2
-- @tparam cdata code of `codes`
-- @treturn epact_sparse_coding_result sums over the signals: `objective`, `nonzeros`, `open` (above the gap), and
-- `largest_gap`
function methods:encode(signal, signals, l1, gap, code)
  local result = ffi.new "epact_sparse_coding_result"
  check(C.epact_sparse_coding_encode(self.view, signal, signals, l1, gap, rounds, code, result), "sparse_coding")
  return result
end

--- S += A'A, B += A'X, for the codes A of the signals X.
function methods:add(code, signal, signals, S, B)
  check(C.epact_sparse_coding_sums(self.atoms, self.dims, self.stride, code, signal, signals, S, B), "sparse_coding")
end

--- Moves the atoms of `value` to where they are best for S and B, some passes over all of them.
-- @treturn table numbers of the atoms that no signal uses
function methods:update(S, B, passes)
  local count = check(C.epact_sparse_coding_update(self.atoms, self.dims, S, B, passes, self.value, self.dead),
    "sparse_coding")
  local dead = {}
  for k = 0, self.atoms - 1 do
    if count > 0 and self.dead[k] ~= 0 then dead[#dead + 1] = k end
  end
  return dead
end

--- An atom becomes this direction, of norm 1; false when that is 0.
function methods:place(atom, direction)
  local norm = C.epact_norm(self.dims, direction)
  if norm <= 0 then return false end
  local to = self.value + atom * self.dims
  for j = 0, self.dims - 1 do to[j] = direction[j] / norm end
  return true
end

--- Takes the atoms of a dense data set; longer ones are cut to norm 1.
function methods:take(dense)
  ffi.copy(self.value, dense.value, self.atoms * self.dims * ffi.sizeof "double")
  for k = 0, self.atoms - 1 do
    local atom = dense.value + k * self.dims
    if C.epact_norm(self.dims, atom) > 1 then self:place(k, atom) end
  end
end

function class:__tostring() return ("epact.dictionary <%d atoms x %d>"):format(self.atoms, self.dims) end

return sparse_coding
