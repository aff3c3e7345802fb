--- Keys for jobs on several machines.
--
-- With keys every connection between the processes of a job is encrypted, and only processes with a listed key are
-- admitted. The simplest way is one folder for all: `epact keygen DIR`, copied to every node.
--
-- Where each node is to have a key of its own, `epact keygen DIR` is run on each; then `DIR/allowed/` holds the
-- `job.pub` of every other node (any names that end in `.pub`; one key a line, `#` begins a comment), and
-- `DIR/root.pub` that of rank 0's node.
-- @module epact.keys

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local keys = {}

--- Makes `folder`, with `job.key` (secret, mode 0600) and `job.pub`. Keys that are there are not overwritten.
-- @tparam string folder
-- @treturn string the public key
function keys.create(folder)
  options.argument("keys.create", "the folder", "string", folder)
  local public = ffi.new "char[41]"
  core.check(C.epact_keys_create(folder, public), "keys.create")
  return ffi.string(public)
end

local advice = [[
%s/job.key is the secret key of a job: who has it can take part.
%s/job.pub is its public key: %s

One key for all: copy the folder to every node, over ssh and with its modes,
  scp -pr %s NODE:
and start every process with EPACT_KEYS=%s (or the option keys = %q).

A key for each node: run this on every node instead; put the job.pub of the other
nodes into the folder %s/allowed, and that of rank 0's node into %s/root.pub.
]]

--- `epact keygen DIR`.
-- @tparam string folder
-- @treturn number exit status
function keys.command(folder)
  local ok, public = pcall(keys.create, folder)
  if not ok then
    io.stderr:write("epact keygen: ", (tostring(public):gsub("^.-keys%.create: ", "")), "\n")
    return 1
  end
  local f = folder
  io.write(advice:format(f, f, public, f, f, f, f, f))
  return 0
end

return keys
