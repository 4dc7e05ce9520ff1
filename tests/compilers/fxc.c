/* fxc.exe FILE ENTRY PROFILE: compiles HLSL with d3dcompiler_47.dll, which must lie beside it, as wgpu does with FXC.
 *
 * For Windows and for wine: x86_64-w64-mingw32-gcc -O2 -o fxc.exe fxc.c. Prints what the compiler says; exits with 1 if
 * it refuses the shader and with 2 if there is no compiler. */

#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define ENABLE_STRICTNESS (1 << 11)

/* The part of ID3DBlob that is used, after the three methods of IUnknown. */
typedef struct Blob Blob;
struct Blob {
  struct {
    void *unknown[3];
    const char *(WINAPI *data)(Blob *);
    SIZE_T(WINAPI *size)(Blob *);
  } *methods;
};

typedef HRESULT(WINAPI *Compile)(const void *source, SIZE_T size, const char *name, const void *defines,
                                 void *include, const char *entry, const char *profile, UINT flags,
                                 UINT effect_flags, Blob **code, Blob **messages);

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *text = malloc(*size + 1);
  if (text && fread(text, 1, *size, file) != *size) {
    free(text);
    text = NULL;
  }
  fclose(file);
  return text;
}

int main(int count, char **arguments) {
  if (count != 4) {
    fprintf(stderr, "usage: fxc FILE ENTRY PROFILE\n");
    return 2;
  }
  HMODULE library = LoadLibraryA("d3dcompiler_47.dll");
  Compile compile = library ? (Compile)(void *)GetProcAddress(library, "D3DCompile") : NULL;
  if (!compile) {
    fprintf(stderr, "no D3DCompile in d3dcompiler_47.dll (error %lu)\n", GetLastError());
    return 2;
  }
  size_t size = 0;
  char *source = read_file(arguments[1], &size);
  if (!source) {
    fprintf(stderr, "cannot read %s\n", arguments[1]);
    return 2;
  }
  Blob *code = NULL, *messages = NULL;
  HRESULT result = compile(source, size, arguments[1], NULL, NULL, arguments[2], arguments[3], ENABLE_STRICTNESS, 0,
                           &code, &messages);
  if (messages) printf("%.*s\n", (int)messages->methods->size(messages), messages->methods->data(messages));
  if (FAILED(result)) {
    printf("refused: 0x%08lx\n", (unsigned long)result);
    return 1;
  }
  printf("%lu bytes\n", (unsigned long)code->methods->size(code));
  return 0;
}
