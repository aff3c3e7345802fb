--- A peer in Python beside a benchmark: run where scikit-learn is installed.
local ffi = require "ffi"
local process = require "support.process"

local peer = {}

--- The Python that has scikit-learn, or nil.
function peer.python()
  for _, name in ipairs { "python3", "/usr/bin/python3" } do
    if os.execute(name .. " -c 'import sklearn' >/dev/null 2>&1") == 0 then return name end
  end
end

--- Runs a script on arrays.
-- @tparam string python
-- @tparam string script its path
-- @tparam table arrays name -> { pointer, bytes }: written to a folder, as files of these names
-- @tparam table words further arguments, behind the folder
-- @treturn table name -> number, of the lines `name number` it prints
function peer.run(python, script, arrays, words)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  for name, array in pairs(arrays) do
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(ffi.string(array[1], array[2]))
    file:close()
  end
  local output = process.run(("OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 %s -W ignore %s %s %s"):format(python, script,
    folder, table.concat(words or {}, " ")), { seconds = 600 })
  os.execute("rm -rf " .. folder)
  local found = {}
  for name, value in output:gmatch "([%w_]+) ([%d.e+-]+)\n" do found[name] = tonumber(value) end
  if not next(found) then error("the peer failed: " .. output) end
  return found
end

return peer
